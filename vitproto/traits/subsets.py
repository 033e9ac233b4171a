"""The subsets of training images on which prototypes are chosen."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int


def subset_sizes(
    n_train: Sequence[int | Literal["all"]], n_available: int
) -> list[int]:
    """The sizes of the training subsets as numbers, ascending, each once.

    Raises:
        ValueError: a size is not between 1 and `n_available`.
    """
    sizes = {n_available if n == "all" else n for n in n_train}
    for size in sorted(sizes):
        if not 1 <= size <= n_available:
            raise ValueError(
                f"cannot choose prototypes on {size} images, there are {n_available} "
                f"training images: set `selection: n_train` to 1 to {n_available}, or "
                "to `all`"
            )
    return sorted(sizes)


def nested_order(n_images: int, selection_seed: int) -> Int[np.ndarray, " n"]:
    """The order of images from which a seed's subsets take the first ones.

    Larger subsets contain the smaller ones, so a curve over sizes shows the effect of
    more images, not of other images.
    """
    return np.random.default_rng(selection_seed).permutation(n_images)
