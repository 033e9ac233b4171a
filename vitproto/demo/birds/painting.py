"""Strokes, the canvas they are painted on, and the regions they leave there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Points = Float[np.ndarray, "_ 2"]

SUPERSAMPLING = 3
"""Canvas pixels per final pixel, along each axis."""


class Region(IntEnum):
    """The part of a bird or scene that a pixel shows."""

    NOTHING = 0
    SKY = 1
    FOLIAGE = 2
    WATER = 3
    GROUND = 4
    SNOW = 5
    REED = 6
    BRANCH = 7
    ROCK = 8
    WING = 10
    PRIMARY = 11
    BACK = 12
    BREAST = 13
    BELLY = 14
    THROAT = 15
    NAPE = 16
    CROWN = 17
    FOREHEAD = 18
    FACE = 19
    BILL = 20
    EYE = 21
    LEG = 22
    UPPER_TAIL = 23
    UNDER_TAIL = 24
    FAR_WING = 25
    FAR_LEG = 26
    FAR_EYE = 27


@dataclass(frozen=True)
class Stroke:
    """One filled outline, or one line where `width` is above zero."""

    points: Points
    rgb: Rgb
    region: Region
    width: float = 0.0


@dataclass(frozen=True)
class Clipped:
    """An outline filled with a colour, and strokes that stay inside it."""

    outline: Points
    rgb: Rgb
    region: Region
    strokes: list[Stroke] = field(default_factory=list)


class Canvas:
    """Paints strokes; each leaves its colour and its region in the same pixels.

    The fourth channel of the image is not opacity but the region: one call of
    PIL paints both, so that masks cannot disagree with what is seen.
    """

    def __init__(
        self,
        size: tuple[int, int],
        to_pixels: Callable[[Points], Points],
        pixels_per_unit: float,
    ) -> None:
        w, h = size
        self.image = Image.new("RGBA", (w * SUPERSAMPLING, h * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self.image)
        self._to_pixels = to_pixels
        self._scale = pixels_per_unit * SUPERSAMPLING
        self._origin = np.zeros(2)

    def paint(self, strokes: list[Stroke | Clipped]) -> None:
        """Paint in order: later strokes lie on top."""
        for stroke in strokes:
            if isinstance(stroke, Clipped):
                with self._stencil(stroke):
                    self.paint(stroke.strokes)
            else:
                self._stroke(stroke)

    def _pixels(self, points: Points) -> list[float]:
        xy = self._to_pixels(points) * SUPERSAMPLING - self._origin
        return xy.ravel().tolist()

    def _stroke(self, stroke: Stroke) -> None:
        fill = (*stroke.rgb, int(stroke.region))
        xy = self._pixels(stroke.points)
        if stroke.width == 0:
            self._draw.polygon(xy, fill=fill)
        else:
            width = max(2, round(stroke.width * self._scale))
            self._draw.line(xy, fill=fill, width=width, joint="curve")

    @contextmanager
    def _stencil(self, clip: Clipped) -> Iterator[None]:
        """Paint beside the canvas, then let only the inside of the outline in."""
        outer_image, outer_draw, outer_origin = self.image, self._draw, self._origin
        xy = np.array(self._pixels(clip.outline)).reshape(-1, 2)
        left, top = np.maximum(np.floor(xy.min(axis=0)).astype(int), 0)
        right = min(int(np.ceil(xy[:, 0].max())) + 1, outer_image.width)
        bottom = min(int(np.ceil(xy[:, 1].max())) + 1, outer_image.height)
        if right <= left or bottom <= top:  # Wholly outside the frame.
            return_to = None
            size = (1, 1)
        else:
            return_to = (int(left), int(top))
            size = (int(right - left), int(bottom - top))
        stencil = Image.new("1", size)
        inside = (xy - [left, top]).ravel().tolist()
        ImageDraw.Draw(stencil).polygon(inside, fill=1)
        self.image = Image.new("RGBA", size, (*clip.rgb, int(clip.region)))
        self._draw = ImageDraw.Draw(self.image)
        self._origin = outer_origin + np.array([left, top])
        yield
        if return_to is not None:
            outer_image.paste(self.image, return_to, stencil)
        self.image, self._draw, self._origin = outer_image, outer_draw, outer_origin

    def flattened(self) -> tuple[Image.Image, Image.Image, np.ndarray]:
        """The colours times coverage, the coverage, and the regions, at final size."""
        regions = self.image.getchannel("A")
        painted = regions.point([0] + [255] * 255)
        colors = self.image.convert("RGB").reduce(SUPERSAMPLING)
        middle = SUPERSAMPLING // 2
        regions_HW = np.asarray(regions)[
            middle::SUPERSAMPLING, middle::SUPERSAMPLING
        ].copy()
        return colors, painted.reduce(SUPERSAMPLING), regions_HW


def smooth(points: Points, n_between: int = 6, closed: bool = True) -> Points:
    """A curve through all points (Catmull-Rom), closed or from first to last."""
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([before, points, after])
    segments = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)])
    curve = np.einsum("bt,tnx->nbx", _catmull_rom(n_between), segments).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


@cache
def _catmull_rom(n_between: int) -> Float[np.ndarray, "b 4"]:
    """The weights of four successive points, for steps from the second to the third."""
    t = np.linspace(0, 1, n_between, endpoint=False)[:, None]
    powers = np.concatenate([t**0, t, t**2, t**3], axis=1)
    basis = [[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]
    return 0.5 * powers @ np.array(basis, dtype=float)


def moved(points: Points, dx: float, dy: float) -> Points:
    """The same outline elsewhere."""
    return points + np.array((dx, dy))


_ANGLE = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)


def disc(x: float, y: float, rx: float, ry: float | None = None) -> Points:
    """An ellipse as a polygon."""
    return _CIRCLE * (rx, rx if ry is None else ry) + (x, y)


def shade(rgb: Rgb, factor: float) -> Rgb:
    """Darker below 1, lighter above."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in rgb)
    return r, g, b


def mixed(rgb: Rgb, other: Rgb, share: float) -> Rgb:
    """The colour between two, `share` of the way to the other."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(rgb, other, strict=True))
    return r, g, b
