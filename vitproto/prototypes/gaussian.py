"""Random directions: the control that knows nothing of the data."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def draw_directions(n_prototypes: int, width: int, seed: int) -> Float[Tensor, "k d"]:
    """Which directions would somebody choose who never saw an activation?

    Independent standard normal components, so all directions are equally likely.
    The first directions of a larger draw are those of a smaller one.
    """
    normal = np.random.default_rng(seed).standard_normal
    return torch.from_numpy(normal((n_prototypes, width), dtype=np.float32))
