"""Read image files of any mode, and name those that cannot be read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from vitproto.core.unreadable import UnreadableError, unreadable

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of 16-bit grey. Its `convert("RGB")` cuts all above 255 to white."""


def read_image(path: Path) -> Image.Image:
    """Read an image file in three channels of 8 bits.

    16-bit grey is scaled from 0 to 65,535, floating-point grey from 0 to 1. An alpha
    channel and the EXIF orientation are ignored, for encoders and heat-maps alike.

    Raises:
        ValueError: the file is missing or not a complete image, or the range of its
            pixels is not known.
    """
    with naming_image(path, "an image"), Image.open(path) as image:
        if image.mode in _DEEP:
            _say_scaled("16-bit", "65,535")
            return _grey(np.asarray(image, np.float64) / 257)
        if image.mode == "F":
            values_HW = np.asarray(image)
            low, high = float(values_HW.min()), float(values_HW.max())
            if not (low >= 0 and high <= 1):
                raise UnreadableError(
                    f"{path} has floating-point pixels from {low:g} to {high:g}, and "
                    "only 0 to 1 is understood: save it as 8-bit or 16-bit grey"
                )
            _say_scaled("floating-point", "1")
            return _grey(values_HW * 255.0)
        if image.mode == "I":
            raise UnreadableError(
                f"{path} has pixels of 32 bits, of which nobody knows what is white: "
                "save it as 8-bit or 16-bit grey"
            )
        return image.convert("RGB")


@contextmanager
def naming_image(path: Path, what: str) -> Iterator[None]:
    """Name the file in whatever a decoder raises: Pillow's raise nearly anything.

    Args:
        path: the file that the block reads.
        what: what it should be, such as "a mask".

    Raises:
        UnreadableError: the file cannot be read.
    """
    try:
        yield
    except UnreadableError:
        raise
    except FileNotFoundError as error:
        raise UnreadableError(
            f"there is no {path}: put it back, or remove it from the data set"
        ) from error
    except Exception as error:
        raise unreadable(path, error, _describe(path, what, error)) from error


def _describe(path: Path, what: str, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: scale it "
            "down, encoders see far fewer"
        )
    return (
        f"{path} cannot be read as {what} ({error}): replace the file, or remove it "
        "from the data set"
    )


def _grey(values_HW: np.ndarray) -> Image.Image:
    grey_HW = np.rint(values_HW).astype(np.uint8)
    return Image.fromarray(grey_HW).convert("RGB")


@cache
def _say_scaled(kind: str, white: str) -> None:
    """Say once what is taken for white."""
    logging.info("%s grey images: 0 is black and %s is white", kind, white)
