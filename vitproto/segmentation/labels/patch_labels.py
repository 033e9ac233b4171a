"""Patch labels: the class of each patch, and its purity.

N images, of which M are test images; P patches of an image; windows of H × W pixels.
Labels number the classes from 1; 0 means unlabelled.

They are stored in an HDF5 file whose root attributes name the data set, preprocessing
and code that made it (see `h5ls -v`). It holds `image_ids`, `is_train_N`, `classes`
(the name of label 1 first), `labels_NP`, `purity_NP`, and `masks_MHW`, compressed image
by image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt16

from vitproto.activations.stream import Activations
from vitproto.core.hdf5_file import (
    Hdf5Reader,
    open_hdf5,
    whole_hdf5,
    write_attributes,
    write_strings,
)
from vitproto.data.image_list import check_same_images, read_image_list

FORMAT = "vitproto patch labels 2"
"""Root attribute `format` of the file; its number grows when the layout changes."""


@dataclass(frozen=True)
class PatchLabels:
    """The class of each patch of a data set.

    Attributes:
        image_ids: in the order of the image list.
        is_train_N: whether an image is for training; the others are for testing.
        classes: the names of the classes; the first one has label 1.
        labels_NP: the most frequent label among a patch's pixels, patches row by row.
        purity_NP: the share of the patch's pixels that have this label.
        masks_MHW: the labels of all pixels in patches, for the test images in order.
        preprocessing: the encoder's preprocessing, as in shards; empty if unknown.

    Raises:
        ValueError: sizes or labels are inconsistent.
    """

    image_ids: list[str]
    is_train_N: Bool[np.ndarray, " n"]
    classes: list[str]
    labels_NP: UInt16[np.ndarray, "n p"]
    purity_NP: Float32[np.ndarray, "n p"]
    masks_MHW: UInt16[np.ndarray, "m h w"]
    preprocessing: str = ""

    def __post_init__(self) -> None:
        n_images, n_patches = self.labels_NP.shape
        n_masks, height, width = self.masks_MHW.shape
        rows = (len(self.image_ids), len(self.is_train_N), len(self.purity_NP))
        if set(rows) != {n_images} or self.purity_NP.shape[1] != n_patches:
            raise ValueError(
                f"{rows[0]} image ids, {rows[1]} splits and purities of shape "
                f"{self.purity_NP.shape} do not fit labels of shape "
                f"{self.labels_NP.shape}"
            )
        if n_masks != len(self.i_test_M):
            raise ValueError(
                f"there are {n_masks} masks for {len(self.i_test_M)} test images"
            )
        side = self.patch_side
        if side == 0 or height % side or side * side * n_patches != height * width:
            raise ValueError(
                f"{n_patches} patches do not fill masks of {width} × {height} pixels "
                "with squares"
            )
        highest = max(a.max(initial=0) for a in (self.labels_NP, self.masks_MHW))
        if highest > self.n_classes:
            raise ValueError(
                f"there is the label {highest}, but {self.n_classes} classes"
            )

    @property
    def n_classes(self) -> int:
        """C, which is also the highest label."""
        return len(self.classes)

    @property
    def n_patches(self) -> int:
        """P, the patches of an image."""
        return self.labels_NP.shape[1]

    @property
    def i_train_N(self) -> Int64[np.ndarray, " n"]:
        """The indices of the training images."""
        return np.flatnonzero(self.is_train_N)

    @property
    def i_test_M(self) -> Int64[np.ndarray, " m"]:
        """The indices of the test images, as in `masks_MHW`."""
        return np.flatnonzero(~self.is_train_N)

    @property
    def patch_side(self) -> int:
        """The side of a patch in pixels."""
        _, height, width = self.masks_MHW.shape
        return math.isqrt(height * width // max(1, self.n_patches))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches in an image."""
        _, height, width = self.masks_MHW.shape
        return height // self.patch_side, width // self.patch_side

    def unseen_classes(self, i_image_N: Int64[np.ndarray, " n"]) -> list[str]:
        """The names of classes that no patch of these images has as its label."""
        n_L = np.bincount(
            self.labels_NP[i_image_N].ravel(), minlength=self.n_classes + 1
        )
        return [name for name, n in zip(self.classes, n_L[1:], strict=True) if n == 0]

    def check(self, acts: Activations, where: Path, shards: Path) -> None:
        """Check that these labels belong to recorded activations.

        Args:
            acts: the recorded activations.
            where: the file of the labels, for messages.
            shards: the file of the activations, for messages.

        Raises:
            ValueError: images, patches or preprocessing differ.
        """
        check_same_images(self.image_ids, str(where), acts.image_ids, str(shards))
        recorded = acts.attributes.get("preprocessing", "")
        for what, here, there in (
            ("patches of an image", self.n_patches, acts.n_patches),
            ("preprocessing", self.preprocessing, recorded),
        ):
            if here != there and "" not in (here, there):
                raise ValueError(
                    f"{where} and {shards} do not belong together, {what}: {here} in "
                    f"the first, {there} in the second: run scripts/label_patches.py "
                    "with these activations"
                )


def image_files(
    labels: PatchLabels, where: Path, root: Path, images: Path
) -> list[Path]:
    """The paths of all labelled images, in order.

    Args:
        labels: the labels of their patches.
        where: the file of the labels, for the message.
        root: the folder of the data set.
        images: the image list of the data set.

    Raises:
        ValueError: the list has other images or another order.
    """
    listed = read_image_list(images)
    image_ids = listed["image_id"].tolist()
    check_same_images(labels.image_ids, str(where), image_ids, str(images))
    return [root / path for path in listed["path"]]


def label_window(
    window_HW: UInt16[np.ndarray, "h w"], grid: tuple[int, int], n_classes: int
) -> tuple[UInt16[np.ndarray, " p"], Float32[np.ndarray, " p"]]:
    """Label the patches of a window.

    A patch gets the most frequent label of its pixels; of equally frequent ones the
    smallest. 0 counts like any other, so a mostly unlabelled patch is unlabelled.

    Args:
        window_HW: labels of all pixels of the window. Pixels beyond the last whole
            patch are ignored.
        grid: rows and columns of patches.
        n_classes: the highest label.

    Returns:
        Labels, patches row by row, and purities: the share of the patch's pixels that
        have its label.
    """
    whole_HW = whole_patches(window_HW, grid)
    assert whole_HW.max() <= n_classes, (whole_HW.max(), n_classes)
    n_patches = grid[0] * grid[1]
    side = len(whole_HW) // grid[0]
    patch_RC = np.arange(n_patches).reshape(grid)
    patch_HW = patch_RC.repeat(side, axis=0).repeat(side, axis=1)
    cell_HW = patch_HW * (n_classes + 1) + whole_HW
    count_PL = np.bincount(
        cell_HW.ravel(), minlength=n_patches * (n_classes + 1)
    ).reshape(n_patches, n_classes + 1)
    label_P = count_PL.argmax(axis=1)  # the first of equal ones
    purity_P = count_PL.max(axis=1) / side**2
    return label_P.astype(np.uint16), purity_P.astype(np.float32)


def whole_patches(
    window_HW: UInt16[np.ndarray, "h w"], grid: tuple[int, int]
) -> UInt16[np.ndarray, "rows columns"]:
    """The pixels of a window that belong to patches.

    Patches are squares, as large as fit, starting at the upper left corner.
    """
    side = window_HW.shape[0] // grid[0]
    assert side == window_HW.shape[1] // grid[1], (window_HW.shape, grid)
    return window_HW[: grid[0] * side, : grid[1] * side]


def write_patch_labels(
    path: Path, labels: PatchLabels, attributes: Mapping[str, str]
) -> None:
    """Write the labels; the same labels and attributes give the same bytes.

    Args:
        path: the HDF5 file to write.
        labels: with at least one test image.
        attributes: what made the labels: data set and code.
    """
    assert len(labels.masks_MHW), "there is no test image"
    ours = {"format": FORMAT, "preprocessing": labels.preprocessing}
    assert not ours.keys() & attributes.keys(), "these attributes are ours to set"
    kept = {"compression": "gzip", "shuffle": True, "track_times": False}
    with whole_hdf5(path) as file:
        write_attributes(file, dict(sorted({**attributes, **ours}.items())))
        write_strings(file, "image_ids", labels.image_ids)
        write_strings(file, "classes", labels.classes)
        for name in ("is_train_N", "labels_NP", "purity_NP"):
            file.create_dataset(name, data=getattr(labels, name), **kept)
        one_image = (1, *labels.masks_MHW.shape[1:])
        file.create_dataset(
            "masks_MHW", data=labels.masks_MHW, chunks=one_image, **kept
        )


def read_patch_labels(path: Path) -> PatchLabels:
    """Read the file that `write_patch_labels` wrote.

    All masks are read: 200 MB for the 2,000 windows of ADE20K at 224 × 224 pixels.

    Raises:
        ValueError: the file is missing, damaged, or of another format.
    """
    remedy = "delete it and run label_patches again"
    with open_hdf5(path, "holds no patch labels", remedy) as file:
        attributes = file.attributes()
        if attributes.get("format") != FORMAT:
            raise file.damaged(
                f"its format is {attributes.get('format')!r}, expected {FORMAT!r}"
            )
        with file.naming_damage():
            return PatchLabels(
                image_ids=file.strings("image_ids"),
                is_train_N=_read(file, "is_train_N", np.bool_),
                classes=file.strings("classes"),
                labels_NP=_read(file, "labels_NP", np.uint16),
                purity_NP=_read(file, "purity_NP", np.float32),
                masks_MHW=_read(file, "masks_MHW", np.uint16),
                preprocessing=str(attributes["preprocessing"]),
            )


def _read(file: Hdf5Reader, name: str, dtype: type[np.generic]) -> np.ndarray:
    values = file.values(name)
    n_axes = len(name.rpartition("_")[2])
    if values.dtype != dtype or values.ndim != n_axes:
        raise file.damaged(
            f"{name} is {values.dtype} of shape {values.shape}, expected "
            f"{np.dtype(dtype)} with {n_axes} axes"
        )
    return values
