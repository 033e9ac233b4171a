"""Read masks, scaled and cropped like the encoder's input: a label for each pixel."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt16
from PIL import Image

from vitproto.activations.image_file import open_image
from vitproto.activations.preprocessing import Preprocessing
from vitproto.core.unreadable import UnreadableError

UNLABELLED = 0
"""The label of pixels without class, and of padding."""

MODES = ("L", "P", "I;16", "I")
"""Pillow's modes with one number per pixel: grey of 8, 16 or 32 bits, and indices of a
palette."""

SPREAD = ("L;2", "L;4")
"""Pillow's modes for grey of 2 and 4 bits, whose values it rescales to 0 to 255."""


def cut_window(
    mask_HW: UInt16[np.ndarray, "h w"], preprocessing: Preprocessing
) -> UInt16[np.ndarray, "rows columns"]:
    """Scale and crop a mask as `Preprocessing.apply` does with its image.

    Labels cannot be interpolated, so a pixel takes the label of the mask's pixel that
    contains its centre; a centre on an edge belongs to the pixel to the right or below.
    Computed with integers, because rounding would decide such cases arbitrarily.

    Returns:
        The labels of the encoder's window; padding is unlabelled.
    """
    height, width = mask_HW.shape
    geometry = preprocessing.geometry(width, height)
    row_H = _nearest(preprocessing.height, geometry.top, geometry.height, height)
    column_W = _nearest(preprocessing.width, geometry.left, geometry.width, width)
    framed = np.pad(mask_HW, ((0, 1), (0, 1)), constant_values=UNLABELLED)
    return framed[row_H[:, None], column_W[None, :]]


def read_mask(
    path: Path, n_classes: int, preprocessing: Preprocessing
) -> UInt16[np.ndarray, "rows columns"]:
    """Read the mask of an image, scaled and cropped by `cut_window`.

    Args:
        path, n_classes: see `read_labels`.
        preprocessing: how the encoder's input is made from the image.

    Raises:
        ValueError: see `read_labels`.
    """
    return cut_window(read_labels(path, n_classes), preprocessing)


def read_labels(path: Path, n_classes: int | None) -> UInt16[np.ndarray, "h w"]:
    """Read the mask of an image.

    Args:
        path: an image file with one number per pixel: its label, 0 if unlabelled.
        n_classes: the highest label; None if that is not known.

    Raises:
        ValueError: the file is missing or damaged, its pixels are colours, or a label
            is higher than there are classes.
    """
    # Its image, of the same size, has been accepted.
    with open_image(path, "a mask", most_pixels=None) as image:
        _check_mode(path, image)
        labels_HW = np.asarray(image)
    low, high = int(labels_HW.min()), int(labels_HW.max())
    highest = np.iinfo(np.uint16).max if n_classes is None else n_classes
    if low < 0 or high > highest:
        raise ValueError(
            f"{path} holds the label {high if high > highest else low}, but the "
            f"data set's objectInfo*.txt lists the classes 1 to {highest}: list the "
            "class there, or write 0 for pixels without class"
        )
    return labels_HW.astype(np.uint16)


def check_size(path: Path, image_path: Path) -> None:
    """Check that a mask has the size of its image, without reading pixels.

    Raises:
        ValueError: it has another size, or a file is missing or not an image.
    """
    mask_size, image_size = _size(path, "a mask"), _size(image_path, "an image")
    if mask_size != image_size:
        raise ValueError(
            f"{path} has {mask_size[0]} × {mask_size[1]} pixels, but its image "
            f"{image_path} has {image_size[0]} × {image_size[1]}: a mask needs a label "
            "for each pixel of its image"
        )


def _size(path: Path, what: str) -> tuple[int, int]:
    """Width and height, as the pixels are stored."""
    with open_image(path, what, None) as image:
        return image.size


def _check_mode(path: Path, image: Image.Image) -> None:
    """Check that pixels are stored as single numbers, which Pillow does not rescale."""
    stored = [tile.args for tile in image.tile]
    if image.mode not in MODES or any(args in SPREAD for args in stored):
        raise UnreadableError(
            f"{path} has pixels of type {stored[0] if stored else image.mode} instead "
            "of one label each: save it as 8-bit or 16-bit grey, or with a palette "
            "whose indices are the labels"
        )


def _nearest(
    n_window: int, before: int, n_scaled: int, n_mask: int
) -> Int64[np.ndarray, " w"]:
    """The mask's row or column that contains the centre of each pixel of a window.

    It is `n_mask`, one past the end, for centres outside the mask.
    """
    i_W = np.arange(n_window) + before
    # The centre (i + 1/2) · n_mask / n_scaled, rounded down.
    nearest_W = (2 * i_W + 1) * n_mask // (2 * n_scaled)
    nearest_W[(i_W < 0) | (i_W >= n_scaled)] = n_mask
    return nearest_W
