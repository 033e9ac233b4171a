"""Images and masks as files, which the page of a study lays out side by side."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from PIL import Image

from vitproto.segmentation.labels.class_colors import paint

SIDE = 256
"""Longer side of a picture, in pixels. Smaller windows are enlarged by an integer
factor, so that all their pixels have the same size."""
QUALITY = 80
"""Quality of JPEG files."""


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """The width and height at which a window is shown."""
    longer = max(size)
    ratio = SIDE // longer if longer <= SIDE else SIDE / longer
    width, height = (max(1, round(length * ratio)) for length in size)
    return width, height


def save_window(image: Image.Image, path: Path) -> None:
    """Write the part of an image that the encoder saw, as JPEG."""
    shown = image.resize(shown_size(image.size), Image.Resampling.LANCZOS)
    shown.save(path, "JPEG", quality=QUALITY)


def save_mask(label_HW: UInt16[np.ndarray, "h w"], path: Path) -> None:
    """Write a mask in the colours of its classes, as PNG."""
    mask = Image.fromarray(label_HW)
    size = shown_size(mask.size)
    # Scaled before painting, so that the hatching keeps its width.
    scaled = mask.resize(size, Image.Resampling.NEAREST)
    paint(np.asarray(scaled, np.uint16)).save(path, "PNG", optimize=True)
