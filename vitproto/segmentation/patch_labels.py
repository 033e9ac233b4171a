"""What each patch shows, and the masks of the test images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt16

from vitproto.activations.stream import Activations


@dataclass(frozen=True)
class PatchLabels:
    """The labels of all patches of a data set."""

    image_ids: list[str]
    is_train_N: Bool[np.ndarray, "n"]
    classes: list[str]
    labels_NP: UInt16[np.ndarray, "n p"]
    purity_NP: Float32[np.ndarray, "n p"]
    masks_MHW: UInt16[np.ndarray, "m h w"]

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def i_train_N(self) -> Int64[np.ndarray, "i"]:
        return np.flatnonzero(self.is_train_N)

    @property
    def i_test_M(self) -> Int64[np.ndarray, "m"]:
        return np.flatnonzero(~self.is_train_N)

    @property
    def grid(self) -> tuple[int, int]:
        n_patches = self.labels_NP.shape[1]
        height, width = self.masks_MHW.shape[1:]
        n_rows = round((n_patches * height / width) ** 0.5)
        return n_rows, n_patches // n_rows

    def check(self, acts: Activations, where: Path, shards: Path) -> None:
        assert acts.image_ids == self.image_ids, (where, shards)


def read_patch_labels(path: Path) -> PatchLabels:
    raise NotImplementedError(path)
