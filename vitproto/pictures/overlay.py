"""Thumbnails of images, and heat-maps that a page lays over them."""

import base64
import io
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float32
from PIL import Image

from vitproto.activations.preprocessing import Preprocessing
from vitproto.pictures.strip import Overlay, Thumbnail

COLORS = matplotlib.colormaps["inferno"]
"""Lightness rises from black to pale yellow, so it can be read without colours."""
SIDE = 160
"""Longer side of a thumbnail, in pixels."""
QUALITY = 80
"""Quality of a thumbnail's JPEG."""
HEAT_SHARE = 0.85
"""How opaque a heat-map is at the highest score; at the lowest it is clear."""
N_COLORS = 16
"""Colours of a heat-map: its pixels take four bits."""


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
        low, high: the scores at the clear and the bright end of the colours, in any
            order; scores beyond look like these.
    """
    source = draw_heat(scores_P, preprocessing.grid(len(scores_P)), low, high)
    x_E, y_F = preprocessing.patch_edges(len(scores_P), *image_size)
    left, right = 100 * x_E[[0, -1]] / image_size[0]
    top, bottom = 100 * y_F[[0, -1]] / image_size[1]
    place = (float(left), float(top), float(right - left), float(bottom - top))
    return Overlay(*place, source)


def draw_heat(
    scores_P: Float32[np.ndarray, " p"], grid: tuple[int, int], low: float, high: float
) -> str:
    """Draw a heat-map with a pixel for each patch, as an address that holds a PNG.

    Args:
        scores_P: patches row by row.
        grid: rows and columns of patches.
        low, high: the scores at the clear and the bright end of the colours, in any
            order; scores beyond look like these.
    """
    share_P = (scores_P - low) / (high - low) if high != low else 0 * scores_P
    step_P = (np.clip(share_P, 0, 1) * (N_COLORS - 1)).round().astype(np.uint8)
    picture = Image.fromarray(step_P.reshape(grid), "P")
    palette_C3 = COLORS(np.linspace(0, 1, N_COLORS), bytes=True)[:, :3]
    picture.putpalette(palette_C3.tobytes())
    file = io.BytesIO()
    # Low scores leave the image to be seen.
    alpha_C = np.linspace(0, 255 * HEAT_SHARE, N_COLORS).round().astype(np.uint8)
    picture.save(file, "PNG", bits=4, optimize=True, transparency=alpha_C.tobytes())
    text = base64.b64encode(file.getvalue()).decode()
    return f"data:image/png;base64,{text}"


def color_range(scores_MP: Float32[np.ndarray, "m p"]) -> tuple[float, float]:
    """The scores at the ends of the colour scale for a prototype's images.

    From 0 to the highest score, or from the lowest if none is above 0. Lower scores get
    the colour of the lower end.
    """
    high = float(scores_MP.max())
    return (0.0 if high > 0 else float(scores_MP.min()), high)


def format_score(score: float) -> str:
    """Format a score with three digits: 181, 4.25, −0.0312."""
    text = f"{score:.3g}" if abs(score) < 1000 else f"{score:,.0f}"
    return text.replace("-", "−")
