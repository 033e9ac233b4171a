"""Thumbnails of images, and heat-maps that a page lays over them."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.pictures.image_sheet import COLORS

SIDE = 160
"""Longer side of a thumbnail, in pixels."""
QUALITY = 80
"""Quality of a thumbnail's JPEG."""
HEAT_SHARE = 0.85
"""How opaque a heat-map is at the highest score; at the lowest it is clear."""
N_COLORS = 16
"""Colours of a heat-map: its pixels take four bits."""


class Thumbnail(NamedTuple):
    """A thumbnail, and the size of the image that it was made of, in pixels."""

    name: str
    """The name of its file."""
    width: int
    height: int
    image_size: tuple[int, int]


class Overlay(NamedTuple):
    """A heat-map with a pixel for each patch, and where it lies over its image.

    Positions and sizes are in percent of the image's width and height. Parts of the
    image that the encoder did not see are not covered; padding lies outside.
    """

    left: float
    top: float
    width: float
    height: float
    source: str
    """The heat-map as an address that holds a PNG."""


def save_thumbnail(image: Image.Image, path: Path) -> Thumbnail:
    """Scale an image and write it as JPEG; never larger than it is."""
    ratio = min(1, SIDE / max(image.size))
    width, height = (max(1, round(length * ratio)) for length in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    small.save(path, "JPEG", quality=QUALITY)
    return Thumbnail(path.name, width, height, image.size)


def lay_over(
    scores_P: Float32[np.ndarray, " p"],
    preprocessing: Preprocessing,
    image_size: tuple[int, int],
    low: float,
    high: float,
) -> Overlay:
    """Make a heat-map of an image's patches.

    Args:
        scores_P: patches row by row, as in the encoder's input.
        preprocessing: how the encoder's input is made from the image.
        image_size: width and height of the image.
        low, high: the scores at the ends of the colour scale; others look like these.
    """
    share_P = (scores_P - low) / (high - low) if high > low else 0 * scores_P
    step_P = (np.clip(share_P, 0, 1) * (N_COLORS - 1)).round().astype(np.uint8)
    picture = Image.fromarray(step_P.reshape(preprocessing.grid(len(scores_P))), "P")
    palette_C3 = COLORS(np.linspace(0, 1, N_COLORS), bytes=True)[:, :3]
    picture.putpalette(palette_C3.tobytes())
    file = io.BytesIO()
    # Low scores leave the image to be seen.
    alpha_C = np.linspace(0, 255 * HEAT_SHARE, N_COLORS).round().astype(np.uint8)
    picture.save(file, "PNG", bits=4, optimize=True, transparency=alpha_C.tobytes())
    x_E, y_F = preprocessing.patch_edges(len(scores_P), *image_size)
    left, right = 100 * x_E[[0, -1]] / image_size[0]
    top, bottom = 100 * y_F[[0, -1]] / image_size[1]
    text = base64.b64encode(file.getvalue()).decode()
    place = (float(left), float(top), float(right - left), float(bottom - top))
    return Overlay(*place, f"data:image/png;base64,{text}")
