"""Read image files of any mode, and name those that cannot be read."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, TiffImagePlugin

from vitproto.core.unreadable import UnreadableError, unreadable

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of 16-bit grey. Its `convert("RGB")` cuts all above 255 to white."""


Image.MAX_IMAGE_PIXELS = None  # `open_image` checks the limit of the study instead

GreyRange = Literal["type", "file"]
"""What is black and white in an image of deep grey: see `read_image`."""


def read_image(
    path: Path, grey_range: GreyRange = "type", most_pixels: int | None = None
) -> Image.Image:
    """Read an image file in three channels of 8 bits.

    An alpha channel and the EXIF orientation are ignored, for encoders and heat-maps
    alike.

    Args:
        path: the file.
        grey_range: how grey of more than 8 bits becomes 8 bits. `type`: 16-bit grey
            is scaled from 0 to 65,535, floating-point grey from 0 to 1, and others are
            refused. `file`: all are scaled from the lowest to the highest value of
            the image.
        most_pixels: images with more are refused; None if there is no limit.

    Raises:
        ValueError: the file is missing, too large or not a complete image, or the range
            of its pixels is not known.
    """
    with open_image(path, "an image", most_pixels) as image:
        if getattr(image, "n_frames", 1) > 1:
            _say_once("images of several pages or frames: the first one is read")
        if image.mode not in (*_DEEP, "I", "F"):
            return image.convert("RGB")
        values_HW = np.asarray(image, np.float64)
        if _is_inverted(image):
            values_HW = 2 ** _bits_of(image) - 1 - values_HW
        if grey_range == "file":
            return _grey(_stretched(path, values_HW))
        # Pillow reads a PGM of more than 8 bits in 32 bits, and scales it to 16.
        if image.mode in _DEEP or (image.mode == "I" and image.format == "PPM"):
            white = 2 ** _bits_of(image) - 1
            _say_once(f"16-bit grey images: 0 is black and {white:,} is white")
            return _grey(values_HW * (255 / white))
        remedy = "write grey_range: file to scale each image by its own values"
        if image.mode == "I":
            raise UnreadableError(
                f"{path} has pixels of 32 bits, or of 16 bits with a sign, for which "
                "white is not defined: save it as 8-bit grey, or as 16-bit grey "
                f"without a sign, or {remedy}"
            )
        low, high = _range_of(path, values_HW)
        if not (low >= 0 and high <= 1):
            raise UnreadableError(
                f"{path} has floating-point pixels from {low:g} to {high:g}, and only "
                f"0 to 1 is understood: save it as 8-bit or 16-bit grey, or {remedy}"
            )
        _say_once("floating-point grey images: 0 is black and 1 is white")
        return _grey(values_HW * 255)


def _bits_of(image: Image.Image) -> int:
    """The bits of a pixel of deep grey: cameras write 12 of 16 into TIFF files."""
    return int(_tag_of(image, TiffImagePlugin.BITSPERSAMPLE, 16))


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white: Pillow turns 8-bit TIFF images round, but no deeper ones."""
    photometric = _tag_of(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1)
    return image.mode in _DEEP and photometric == 0


def _tag_of(image: Image.Image, tag: int, default: int) -> int:
    """The first value of a tag of a TIFF file; the default for other files."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return default
    value = image.tag_v2.get(tag, default)
    return value[0] if isinstance(value, tuple) else value


def _stretched(path: Path, values_HW: np.ndarray) -> np.ndarray:
    """Values from 0 to 255; an image of equal pixels is black."""
    low, high = _range_of(path, values_HW)
    _say_once(
        "grey images of more than 8 bits: the lowest value of each is black, the "
        "highest is white"
    )
    return (values_HW - low) * (255 / (high - low) if high > low else 0.0)


def _range_of(path: Path, values_HW: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value of an image, which must be finite."""
    low, high = float(values_HW.min()), float(values_HW.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UnreadableError(
            f"{path} has pixels that are not finite: replace the file, or "
            "remove it from the data set"
        )
    return low, high


@contextmanager
def open_image(path: Path, what: str, most_pixels: int | None) -> Iterator[Image.Image]:
    """Open an image file of any mode; its pixels are decoded when they are asked for.

    Args:
        path: the file.
        what: what it should be, such as "a mask".
        most_pixels: images with more are refused; None if there is no limit.

    Raises:
        UnreadableError: the file cannot be read, or is too large.
    """
    with naming_image(path, what), Image.open(path) as image:
        if most_pixels is not None and math.prod(image.size) > most_pixels:
            raise UnreadableError(
                f"{path} has {image.width:,} × {image.height:,} pixels, more than "
                f"most_pixels: {most_pixels:,}: scale it down, since encoders see far "
                "fewer, or raise most_pixels"
            )
        yield image


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
    except (UnreadableError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnreadableError(
            f"there is no {path}: put it back, or remove it from the data set"
        ) from error
    except Exception as error:
        raise unreadable(
            path,
            error,
            f"{path} cannot be read as {what} ({error}): replace the file, save it in "
            "another form, or remove it from the data set",
        ) from error


def _grey(values_HW: np.ndarray) -> Image.Image:
    grey_HW = np.rint(values_HW).astype(np.uint8)
    return Image.fromarray(grey_HW).convert("RGB")


@cache
def _say_once(how: str) -> None:
    """Say once how images of a kind are read."""
    logging.info("%s", how)
