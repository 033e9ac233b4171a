"""Draw the images that drive a prototype, each above its heat-map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from vitproto.activations.preprocessing import Preprocessing
from vitproto.pictures.heat_map import heat_map

PER_ROW = 8
SIDE = 192
"""Longer side of an image in a picture, in pixels; pages show it smaller."""
GAP = 12
TEXT_SIZE = 20
SCALE_SIZE = (2 * SIDE, 18)
"""Width and height of the colour scale, in pixels."""

PAPER, INK = (255, 255, 255), (29, 31, 35)
COLORS = matplotlib.colormaps["inferno"]
"""Lightness rises from black to pale yellow, so it can be read without colours."""
HEAT_SHARE = 0.66
"""The weight of the heat-map in a pixel; the rest is the image in grey."""
UNSEEN_SHARE = 0.25
"""The weight of the image where the encoder's input was cropped; the rest is white."""


@dataclass(frozen=True)
class Shown:
    """A scaled image, and its heat-map at the same size."""

    image: Image.Image
    heat_HW: Float32[np.ndarray, "h w"]
    score: float


def read_shown(
    path: Path, scores_P: Float32[np.ndarray, " p"], preprocessing: Preprocessing
) -> Shown:
    """Read and scale an image, with the scores of its patches.

    Raises:
        ValueError: the file is missing or is not a complete image.
    """
    image = preprocessing.read_whole(path)
    ratio = SIDE / max(image.size)
    width, height = (max(1, round(length * ratio)) for length in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    heat_HW = heat_map(scores_P, preprocessing, image.size, small.size)
    return Shown(small, heat_HW, float(scores_P.max()))


def color_range(scores_MP: Float32[np.ndarray, "m p"]) -> tuple[float, float]:
    """The scores at the ends of the colour scale for a prototype's images.

    From 0 to the highest score, or from the lowest if none is above 0. Lower scores get
    the colour of the lower end.
    """
    high = float(scores_MP.max())
    return (0.0 if high > 0 else float(scores_MP.min()), high)


def draw_strip(shown: Sequence[Shown], low: float, high: float) -> Image.Image:
    """Draw the images in order, each above its heat-map, and the colour scale.

    Args:
        shown: one or more.
        low, high: the scores at the ends of the colour scale.
    """
    rows = [shown[i : i + PER_ROW] for i in range(0, len(shown), PER_ROW)]
    heights = [max(panel.image.height for panel in row) for row in rows]
    row_heights = [TEXT_SIZE + 2 * height + 3 * GAP for height in heights]
    n_columns = max(len(rows[0]), 2)  # the scale takes two
    size = (
        n_columns * (SIDE + GAP) + GAP,
        sum(row_heights) + SCALE_SIZE[1] + TEXT_SIZE + 3 * GAP,
    )
    strip = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(TEXT_SIZE)
    top = GAP
    for row, height, row_height in zip(rows, heights, row_heights, strict=True):
        for i, panel in enumerate(row):
            middle = GAP + i * (SIDE + GAP) + SIDE // 2
            left = middle - panel.image.width // 2
            seam = top + TEXT_SIZE + GAP + height
            text_top = seam - panel.image.height - TEXT_SIZE - GAP // 2
            draw.text((middle, text_top), format_score(panel.score), INK, font, "ma")
            strip.paste(panel.image, (left, seam - panel.image.height))
            heated = over_image(panel.image, panel.heat_HW, low, high)
            strip.paste(heated, (left, seam + GAP // 2))
        top += row_height
    draw_scale(strip, draw, font, top, low, high)
    return strip


def over_image(
    image: Image.Image, heat_HW: Float32[np.ndarray, "h w"], low: float, high: float
) -> Image.Image:
    """Draw the heat-map over the image in grey.

    The image is pale where there is no score because the encoder's input was cropped.
    """
    grey_HW1 = np.asarray(image.convert("L"), np.float64)[:, :, None]
    seen_HW1 = ~np.isnan(heat_HW)[:, :, None]
    color_HWC = _colors(np.nan_to_num(heat_HW, nan=low), low, high)
    heated_HWC = HEAT_SHARE * color_HWC + (1 - HEAT_SHARE) * grey_HW1
    paled_HWC = UNSEEN_SHARE * grey_HW1 + (1 - UNSEEN_SHARE) * np.array(PAPER)
    mixed_HWC = np.where(seen_HW1, heated_HWC, paled_HWC)
    return Image.fromarray(mixed_HWC.round().astype(np.uint8))


def format_score(score: float) -> str:
    """Format a score with three digits: 181, 4.25, −0.0312."""
    text = f"{score:.3g}" if abs(score) < 1000 else f"{score:,.0f}"
    return text.replace("-", "−")


def _colors(
    score_HW: np.ndarray, low: float, high: float
) -> UInt8[np.ndarray, "h w 3"]:
    share_HW = (score_HW - low) / (high - low) if high > low else 0 * score_HW
    return COLORS(share_HW, bytes=True)[:, :, :3]


def draw_scale(
    strip: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    top: int,
    low: float,
    high: float,
) -> None:
    """Draw the colour scale over middle grey, with its scores below."""
    width, height = SCALE_SIZE
    ramp_HW = np.tile(np.linspace(low, high, width, dtype=np.float32), (height, 1))
    grey = Image.new("RGB", SCALE_SIZE, (128, 128, 128))
    strip.paste(over_image(grey, ramp_HW, low, high), (GAP, top))
    for share, anchor in ((0, "la"), (0.5, "ma"), (1, "ra")):
        text = format_score(low + share * (high - low))
        place = (GAP + share * width, top + height + GAP // 2)
        draw.text(place, text, INK, font, anchor)
