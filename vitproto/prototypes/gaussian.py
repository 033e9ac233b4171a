"""Random directions: a control that ignores the data."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def draw_directions(n_prototypes: int, width: int, seed: int) -> Float[Tensor, "k d"]:
    """Draw directions with independent standard normal components.

    All directions are equally likely. A larger draw starts with the directions of a
    smaller one.
    """
    normal = np.random.default_rng(seed).standard_normal
    return torch.from_numpy(normal((n_prototypes, width), dtype=np.float32))
