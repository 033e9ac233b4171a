"""Split training images into those that probes learn from and held-out ones."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from vitproto.segmentation.labels.patch_labels import PatchLabels


class TrainingSplit(NamedTuple):
    """Indices of training images, in the order of the image list."""

    learnt_N: Int64[np.ndarray, " n"]
    """Those that probes learn from."""
    held_out_H: Int64[np.ndarray, " h"]
    """Those on which one of the probes is chosen."""


def split_training(labels: PatchLabels, every: int) -> TrainingSplit:
    """Hold out every N-th training image: with `every` 10, the 10th, 20th, …

    Lists are often sorted by what images show, so that both parts show all of it.

    Raises:
        ValueError: there are too few training images to hold one out.
    """
    i_train_N = labels.i_train_N
    if len(i_train_N) < every:
        raise ValueError(
            f"one training image of {every} is held out to choose a probe on, but "
            f"there are {len(i_train_N)}: lower held_out_every"
        )
    is_held_out_N = np.arange(1, len(i_train_N) + 1) % every == 0
    return TrainingSplit(i_train_N[~is_held_out_N], i_train_N[is_held_out_N])
