"""Which class does each patch show, and how purely?"""

import math
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt16

from vitproto.activations.stream import Activations
from vitproto.data.image_list import check_same_images


@dataclass(frozen=True)
class PatchLabels:
    """The labels of all patches, and of all pixels of the test images.

    Attributes:
        image_ids: in the order of the image list.
        is_train_N: which images train.
        classes: names of the labels 1 to C.
        labels_NP: of each patch, 0 for none.
        purity_NP: the share of its pixels that have its label.
        masks_MHW: the labels of the test images' pixels.
    """

    image_ids: list[str]
    is_train_N: Bool[np.ndarray, "n"]
    classes: list[str]
    labels_NP: UInt16[np.ndarray, "n p"]
    purity_NP: Float32[np.ndarray, "n p"]
    masks_MHW: UInt16[np.ndarray, "m h w"]

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.classes)

    @property
    def i_train_N(self) -> Int64[np.ndarray, "n_train"]:
        """Which images train."""
        return np.flatnonzero(self.is_train_N)

    @property
    def i_test_M(self) -> Int64[np.ndarray, "m"]:
        """Which images test."""
        return np.flatnonzero(~self.is_train_N)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        _, height, width = self.masks_MHW.shape
        n_rows = round(math.sqrt(self.labels_NP.shape[1] * height / width))
        return n_rows, self.labels_NP.shape[1] // n_rows

    def check(self, acts: Activations, where: Path, shards: Path) -> None:
        """Refuse activations of other images or other patches."""
        check_same_images(acts.image_ids, str(shards), self.image_ids, str(where))
        if acts.n_patches != self.labels_NP.shape[1]:
            raise ValueError(
                f"{where} labels {self.labels_NP.shape[1]} patches of an image, but "
                f"{shards} has {acts.n_patches}: make both with the same encoder"
            )


def read_patch_labels(path: Path) -> PatchLabels:
    """Read what `write_patch_labels` wrote."""
    with h5py.File(path) as file:
        return PatchLabels(
            file["image_ids"].asstr()[()].tolist(),
            file["is_train_N"][()],
            file["classes"].asstr()[()].tolist(),
            *(file[name][()] for name in ("labels_NP", "purity_NP", "masks_MHW")),
        )
