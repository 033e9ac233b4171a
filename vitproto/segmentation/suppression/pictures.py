"""Draw the effect of suppression: image, masks and heat-map side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, UInt16
from PIL import Image, ImageDraw, ImageFont

from vitproto.activations.preprocessing import Preprocessing
from vitproto.pictures.heat_map import heat_map
from vitproto.pictures.image_sheet import (
    GAP,
    INK,
    PAPER,
    SCALE_SIZE,
    draw_scale,
    over_image,
)
from vitproto.segmentation.labels.class_colors import paint

SIDE = 256
"""Longer side of a panel, in pixels. Smaller windows are enlarged by an integer factor,
so that all their pixels have the same size."""
TEXT_SIZE = 16
LINE = TEXT_SIZE + 6
SWATCH = 14
"""Side of a colour swatch in the legend, in pixels."""
HEADINGS = ("image", "true classes", "predicted", "after suppression", "its latents")
BLANK = "unlabelled"


@dataclass(frozen=True)
class Row:
    """A row of the picture: the encoder's input, with true and predicted labels.

    Attributes:
        image: the encoder's window, cut to whole patches.
        true_HW: labels of the mask; 0 is unlabelled.
        before_HW, after_HW: predicted labels.
        heat_HW: how strongly the latents are active.
        caption: written above the row.
    """

    image: Image.Image
    true_HW: UInt16[np.ndarray, "h w"]
    before_HW: UInt16[np.ndarray, "h w"]
    after_HW: UInt16[np.ndarray, "h w"]
    heat_HW: Float32[np.ndarray, "h w"]
    caption: str

    @property
    def labels(self) -> list[int]:
        """All labels that the row shows, 0 last."""
        maps = (self.true_HW, self.before_HW, self.after_HW)
        shown = sorted(
            {int(label) for label_HW in maps for label in np.unique(label_HW)}
        )
        return [label for label in shown if label] + [0] * (0 in shown)


def window_heat(
    scores_P: Float32[np.ndarray, " p"], preprocessing: Preprocessing
) -> Float32[np.ndarray, "h w"]:
    """The score of each pixel's patch, over the window cut to whole patches."""
    # The window is the whole image here, so it contains every pixel of a patch.
    as_it_is = replace(preprocessing, resize_mode="squash")
    size = (preprocessing.width, preprocessing.height)
    heat_HW = heat_map(scores_P, as_it_is, size, size)
    return heat_HW[~np.isnan(heat_HW).all(axis=1)][:, ~np.isnan(heat_HW).all(axis=0)]


def draw_rows(rows: Sequence[Row], names: Sequence[str], high: float) -> Image.Image:
    """Draw rows below each other, each with its legend, and the colour scale.

    Args:
        rows: one or more, all of the same size.
        names: the names of the classes; the first one has label 1.
        high: the score at the upper end of the colour scale; the lower end is 0.
    """
    width, height = shown_size(rows[0].image.size)
    font = ImageFont.load_default(TEXT_SIZE)
    total = len(HEADINGS) * (width + GAP) + GAP
    legends = [lay_out(_entries(row, names), font, total - 2 * GAP) for row in rows]
    row_heights = [
        LINE + height + GAP // 2 + LINE * len(legend) + GAP for legend in legends
    ]
    below = SCALE_SIZE[1] + LINE + GAP
    size = (total, 2 * GAP + LINE + sum(row_heights) + below)
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    for column, heading in enumerate(HEADINGS):
        middle = GAP + column * (width + GAP) + width // 2
        draw.text((middle, GAP), heading, INK, font, "ma")
    top = 2 * GAP + LINE
    for row, legend, row_height in zip(rows, legends, row_heights, strict=True):
        draw.text((GAP, top), row.caption, INK, font, "la")
        for column, panel in enumerate(_panels(row, (width, height), high)):
            picture.paste(panel, (GAP + column * (width + GAP), top + LINE))
        _draw_legend(picture, draw, font, legend, top + LINE + height + GAP // 2)
        top += row_height
    draw_scale(picture, draw, font, top, 0.0, high)
    place = (2 * GAP + SCALE_SIZE[0], top)
    meaning = "sum of its latents, each as a share of its largest value in training"
    draw.text(place, meaning, INK, font, "la")
    return picture


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """The width and height at which a window is shown."""
    longer = max(size)
    ratio = SIDE // longer if longer <= SIDE else SIDE / longer
    width, height = (max(1, round(length * ratio)) for length in size)
    return width, height


def lay_out(
    entries: Sequence[tuple[int, str]], font: ImageFont.FreeTypeFont, width: int
) -> list[list[tuple[int, int, str]]]:
    """Distribute the entries of a legend among lines.

    Returns:
        For each line, the left end, label and text of its entries.
    """
    lines: list[list[tuple[int, int, str]]] = [[]]
    left = 0
    for label, text in entries:
        needed = SWATCH + 6 + round(font.getlength(text)) + 2 * GAP
        if lines[-1] and left + needed > width:
            lines.append([])
            left = 0
        lines[-1].append((left, label, text))
        left += needed
    return lines


def _entries(row: Row, names: Sequence[str]) -> list[tuple[int, str]]:
    return [
        (label, f"{label} {names[label - 1]}" if label else BLANK)
        for label in row.labels
    ]


def _panels(row: Row, size: tuple[int, int], high: float) -> list[Image.Image]:
    """The panels of a row, in the order of `HEADINGS`."""
    near, smooth = Image.Resampling.NEAREST, Image.Resampling.LANCZOS
    image = row.image.resize(size, smooth)
    masks = [
        # Scaled before painting, so that the hatching keeps its width.
        paint(np.asarray(Image.fromarray(label_HW).resize(size, near), np.uint16))
        for label_HW in (row.true_HW, row.before_HW, row.after_HW)
    ]
    heat_HW = np.asarray(Image.fromarray(row.heat_HW).resize(size, near), np.float32)
    return [image, *masks, over_image(image, heat_HW, 0.0, high)]


def _draw_legend(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    legend: Sequence[Sequence[tuple[int, int, str]]],
    top: int,
) -> None:
    for line in legend:
        for left, label, text in line:
            swatch = paint(np.full((SWATCH, SWATCH), label, np.uint16))
            picture.paste(swatch, (GAP + left, top + 3))
            place = (GAP + left + SWATCH + 6, top)
            draw.text(place, text, INK, font, "la")
        top += LINE
