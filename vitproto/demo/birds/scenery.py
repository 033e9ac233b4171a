"""Draw the surroundings of birds: soft backgrounds, perches, water."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFilter

from vitproto.demo.birds.painting import (
    Clipped,
    Points,
    Region,
    Rgb,
    Stroke,
    disc,
    mixed,
    shade,
    smooth,
)

BLUR = 4
"""Background pixels are painted this much coarser, then smoothed: out of focus."""

_SKIES: tuple[tuple[Rgb, Rgb], ...] = (
    ((120, 170, 220), (206, 226, 240)),
    ((176, 196, 212), (226, 230, 232)),
    ((98, 146, 196), (238, 214, 190)),
    ((196, 200, 204), (222, 222, 218)),
)
_LEAVES: tuple[Rgb, ...] = (
    (72, 108, 52), (98, 132, 66), (52, 84, 48), (134, 152, 84), (158, 140, 78),
)  # fmt: skip
_WATERS: tuple[Rgb, ...] = (
    (88, 124, 146),
    (112, 138, 132),
    (74, 104, 120),
    (140, 158, 166),
)
_GROUNDS: tuple[Rgb, ...] = (
    (150, 130, 100),
    (124, 112, 82),
    (168, 150, 116),
    (112, 120, 76),
)
_SNOWS: tuple[Rgb, ...] = ((224, 230, 238), (212, 220, 232))
_BARKS: tuple[Rgb, ...] = ((98, 80, 64), (124, 108, 92), (82, 72, 64), (138, 122, 100))
_REEDS: tuple[Rgb, ...] = ((150, 144, 84), (176, 158, 100), (112, 128, 70))
_ROCKS: tuple[Rgb, ...] = ((120, 118, 116), (144, 136, 126), (96, 98, 104))


@dataclass(frozen=True)
class Backdrop:
    """A painted background at final size."""

    colors: Image.Image
    regions_HW: UInt8[np.ndarray, "h w"]


def backdrop(
    rng: np.random.Generator, place: str, size: tuple[int, int], floor: float
) -> Backdrop:
    """The background of a bird at one of its places.

    Args:
        floor: height of the bird's feet as a share of the picture's height.
    """
    w, h = -(-size[0] // BLUR) + 1, -(-size[1] // BLUR) + 1
    top, bottom = _SKIES[rng.integers(len(_SKIES))]
    image = _gradient(rng, (w, h), top, bottom, Region.SKY)
    draw = ImageDraw.Draw(image)
    if place in ("branch", "leaves", "trunk") and rng.random() < 0.8:
        _foliage(rng, draw, w, h, dense=place != "branch" or rng.random() < 0.6)
    elif place in ("ground", "snow", "shore", "wade", "swim", "reeds", "rock"):
        _land_or_water(rng, draw, w, h, place, floor)
    elif place == "flight" and rng.random() < 0.35:
        _far_shore(rng, draw, w, h)
    elif place == "flight" and rng.random() < 0.3:
        _foliage(rng, draw, w, h, dense=False)
    big = (w * BLUR, h * BLUR)
    regions = image.getchannel("A").resize(big, Image.Resampling.NEAREST)
    soft = image.convert("RGB").filter(ImageFilter.BoxBlur(1))
    colors = soft.resize(big, Image.Resampling.BICUBIC)
    box = (0, 0, *size)
    return Backdrop(colors.crop(box), np.asarray(regions.crop(box)).copy())


def _gradient(
    rng: np.random.Generator,
    size: tuple[int, int],
    top: Rgb,
    bottom: Rgb,
    region: Region,
) -> Image.Image:
    w, h = size
    t = np.linspace(0, 1, h)[:, None, None]
    rows = np.array(top) * (1 - t) + np.array(bottom) * t
    image_HWC = np.empty((h, w, 4), np.uint8)
    image_HWC[..., :3] = np.clip(rows + rng.normal(0, 3, (h, w, 1)), 0, 255)
    image_HWC[..., 3] = region
    return Image.fromarray(image_HWC)


def _pick(
    rng: np.random.Generator, colors: tuple[Rgb, ...], spread: float = 0.12
) -> Rgb:
    rgb = colors[rng.integers(len(colors))]
    return shade(rgb, 1 + float(rng.uniform(-spread, spread)))


def _blob(draw: ImageDraw.ImageDraw, points: Points, rgb: Rgb, region: Region) -> None:
    draw.polygon(points.ravel().tolist(), fill=(*rgb, int(region)))


def _foliage(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, w: int, h: int, *, dense: bool
) -> None:
    base = _pick(rng, _LEAVES)
    if dense:
        draw.rectangle((0, 0, w, h), fill=(*shade(base, 0.8), int(Region.FOLIAGE)))
    for _ in range(26 if dense else 12):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        if not dense and 0.2 * w < x < 0.8 * w and rng.random() < 0.6:
            continue
        r = rng.uniform(0.05, 0.2) * w
        rgb = mixed(_pick(rng, _LEAVES), base, 0.6)
        _blob(draw, disc(x, y, r, r * 0.85), rgb, Region.FOLIAGE)
    for _ in range(int(rng.integers(0, 5))):  # Light through the leaves.
        x, y, r = rng.uniform(0, w), rng.uniform(0, 0.7 * h), rng.uniform(1, 2.5)
        _blob(draw, disc(x, y, r), mixed(base, (250, 246, 214), 0.55), Region.FOLIAGE)


def _land_or_water(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    w: int,
    h: int,
    place: str,
    floor: float,
) -> None:
    horizon = min(0.8, floor - rng.uniform(0.08, 0.3)) * h
    if place == "swim" and rng.random() < 0.5:
        horizon = -2.0
    if rng.random() < 0.6:
        _treeline(rng, draw, w, horizon)
    wet = place in ("wade", "swim", "shore") or (
        place in ("reeds", "rock") and rng.random() < 0.6
    )
    if place == "snow":
        base, region = _pick(rng, _SNOWS, 0.04), Region.SNOW
    elif wet:
        base, region = _pick(rng, _WATERS), Region.WATER
    else:
        base, region = _pick(rng, _GROUNDS), Region.GROUND
    draw.rectangle((0, horizon, w, h), fill=(*base, int(region)))
    for _ in range(22):
        y = rng.uniform(max(horizon, 0), h + 1)
        x, long = rng.uniform(0, w), rng.uniform(0.05, 0.25) * w
        tone = shade(base, 1 + float(rng.uniform(-0.14, 0.12)))
        flat = 0.5 if region is Region.WATER else 1.2
        _blob(draw, disc(x, y, long, flat), tone, region)
    if place == "shore":
        shore = (floor - 0.04 + rng.uniform(-0.03, 0.02)) * h
        sand = _pick(rng, _GROUNDS)
        edge = [(0, shore + 1), (0.3 * w, shore), (0.7 * w, shore + 1.2), (w, shore)]
        _blob(draw, np.array([*edge, (w, h + 1), (0, h + 1)]), sand, Region.GROUND)
    if place == "reeds":
        _far_reeds(rng, draw, w, h)


def _treeline(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, w: int, horizon: float
) -> None:
    rgb = mixed(_pick(rng, _LEAVES), (170, 190, 200), 0.45)
    for x in np.arange(-2, w + 2, 3.0):
        r = rng.uniform(2, 5)
        _blob(draw, disc(x, horizon, 2.6, r), rgb, Region.FOLIAGE)


def _far_shore(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, w: int, h: int
) -> None:
    horizon = rng.uniform(0.6, 0.85) * h
    rgb = mixed(_pick(rng, _WATERS), (190, 205, 215), 0.2)
    draw.rectangle((0, horizon, w, h), fill=(*rgb, int(Region.WATER)))


def _far_reeds(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, w: int, h: int
) -> None:
    for _ in range(16):
        x, lean = rng.uniform(0, w), rng.uniform(-2, 2)
        top = rng.uniform(0, 0.5) * h
        stem = np.array([(x, h), (x + 1.2, h), (x + lean, top)])
        _blob(draw, stem, _pick(rng, _REEDS), Region.REED)


def perch(
    rng: np.random.Generator,
    place: str,
    feet: list[np.ndarray],
    reach: float,
    thickness: float,
) -> list[Stroke | Clipped]:
    """The perch under the feet, in the bird's frame; painted before the bird.

    Args:
        reach: how far the picture extends to either side, in body lengths.
        thickness: of a branch, in body lengths: small birds sit on thick ones.
    """
    middle = np.mean(feet, axis=0)
    if place in ("branch", "leaves"):
        return _branch(rng, middle, reach, thickness, leafy=place == "leaves")
    if place == "trunk":
        return _trunk(rng, max(foot[0] for foot in feet), reach)
    if place == "rock":
        return _rock(rng, middle)
    if place == "reeds":
        return _stems(rng, middle, reach)
    if place in ("ground", "snow", "shore"):
        return _shadow(rng, middle, place)
    return []


def _branch(
    rng: np.random.Generator,
    at: np.ndarray,
    reach: float,
    thickness: float,
    *,
    leafy: bool,
) -> list[Stroke | Clipped]:
    bark = _pick(rng, _BARKS)
    slope, sag = rng.uniform(-0.16, 0.16), rng.uniform(-0.05, 0.05)
    x = np.linspace(-reach, reach, 12)
    y = slope * x + sag * x**2 + 0.52 * thickness
    half = 0.5 * thickness * np.linspace(1.15, 0.75, 12)
    upper, lower = np.stack([x, y - half], 1) + at, np.stack([x, y + half], 1) + at
    strokes: list[Stroke | Clipped] = [
        Stroke(np.concatenate([upper, lower[::-1]]), bark, Region.BRANCH),
        Stroke(upper, shade(bark, 1.22), Region.BRANCH, 0.2 * thickness),
        Stroke(lower, shade(bark, 0.72), Region.BRANCH, 0.22 * thickness),
    ]
    for _ in range(int(rng.integers(5, 9)) if leafy else int(rng.integers(0, 3))):
        i = int(rng.integers(12))
        if leafy or abs(x[i]) > 0.5:
            strokes += _leaf(rng, upper[i], leafy)
    return strokes


def _leaf(
    rng: np.random.Generator, at: np.ndarray, leafy: bool
) -> list[Stroke | Clipped]:
    angle = rng.uniform(0, 2 * np.pi)
    long = rng.uniform(0.16, 0.34)
    axis = long * np.array([np.cos(angle), np.sin(angle)])
    side = 0.28 * np.array([-axis[1], axis[0]])
    rgb = _pick(rng, _LEAVES, 0.2)
    blade = smooth(
        np.array([at, at + 0.5 * axis + side, at + axis, at + 0.5 * axis - side]), 4
    )
    return [
        Stroke(blade, rgb, Region.FOLIAGE),
        Stroke(
            np.array([at, at + 0.9 * axis]), shade(rgb, 0.75), Region.FOLIAGE, 0.012
        ),
    ]


def _trunk(rng: np.random.Generator, x: float, reach: float) -> list[Stroke | Clipped]:
    bark = _pick(rng, _BARKS)
    wide, tilt = rng.uniform(0.45, 1.0), rng.uniform(-0.06, 0.06)
    left, right = x - 0.03, x - 0.03 + wide

    def edge(at: float) -> Points:
        y = np.linspace(-reach, reach, 10)
        return np.stack([at + tilt * y + rng.uniform(-0.015, 0.015, 10), y], axis=1)

    trunk = np.concatenate([edge(left), edge(right)[::-1]])
    furrows = []
    for _ in range(26):
        fx, fy = rng.uniform(left, right), rng.uniform(-1.2, 1.2)
        ends = np.array(
            [(fx + tilt * fy, fy), (fx + tilt * fy + 0.02, fy + rng.uniform(0.1, 0.3))]
        )
        furrows.append(
            Stroke(
                ends, shade(bark, float(rng.uniform(0.68, 1.2))), Region.BRANCH, 0.025
            )
        )
    return [Clipped(trunk, bark, Region.BRANCH, furrows)]


def _rock(rng: np.random.Generator, at: np.ndarray) -> list[Stroke | Clipped]:
    rgb = _pick(rng, _ROCKS)
    top = np.array(
        [(-0.7, 0.7), (-0.55, 0.12), (-0.2, 0.0), (0.25, 0.01), (0.6, 0.2), (0.75, 0.7)]
    )
    outline = np.concatenate(
        [top + rng.uniform(-0.04, 0.0, (6, 2)) * [1, 0.3], [[0.9, 2.5], [-0.9, 2.5]]]
    )
    lit = np.array([(-0.6, 0.14), (-0.2, 0.0), (0.25, 0.0), (0.5, 0.16), (0.1, 0.13)])
    return [
        Stroke(outline + at, rgb, Region.ROCK),
        Stroke(smooth(lit) + at, shade(rgb, 1.18), Region.ROCK),
    ]


def _stems(
    rng: np.random.Generator, at: np.ndarray, reach: float
) -> list[Stroke | Clipped]:
    x, y = at
    bent = np.array(
        [(x - 1.1, y + 2.5), (x - 0.5, y + 0.3), (x, y), (x + 0.6, y + 0.05)]
    )
    strokes: list[Stroke | Clipped] = [
        Stroke(smooth(bent, closed=False), _pick(rng, _REEDS), Region.REED, 0.07)
    ]
    for x in rng.uniform(-reach, reach, 5):
        lean = rng.uniform(-0.1, 0.1)
        rgb = _pick(rng, _REEDS)
        foot, tip = (
            (x + lean * 2, at[1] + 3),
            (x - lean * 2, at[1] - rng.uniform(1.0, 3)),
        )
        strokes.append(
            Stroke(np.array([foot, (x, at[1]), tip]), rgb, Region.REED, 0.06)
        )
    return strokes


def _shadow(
    rng: np.random.Generator, at: np.ndarray, place: str
) -> list[Stroke | Clipped]:
    tone = (176, 186, 204) if place == "snow" else (92, 80, 62)
    region = Region.SNOW if place == "snow" else Region.GROUND
    strokes: list[Stroke | Clipped] = [
        Stroke(disc(at[0], at[1] + 0.02, 0.36, 0.04), tone, region)
    ]
    if place == "snow":
        return strokes
    for _ in range(int(rng.integers(0, 14))):  # Pebbles and tufts.
        x, y = at[0] + rng.uniform(-1.6, 1.6), at[1] + rng.uniform(-0.05, 0.5)
        if rng.random() < 0.5:
            strokes.append(
                Stroke(disc(x, y, 0.03, 0.02), _pick(rng, _ROCKS), Region.GROUND)
            )
        else:
            blade = np.array(
                [(x - 0.02, y), (x + rng.uniform(-0.08, 0.08), y - 0.16), (x + 0.02, y)]
            )
            strokes.append(Stroke(blade, _pick(rng, _LEAVES), Region.REED))
    return strokes


def foreground(
    rng: np.random.Generator, place: str, waterline: float, reach: float
) -> list[Stroke | Clipped]:
    """Objects that hide part of the bird: water for a swimmer, grass, a leaf."""
    strokes: list[Stroke | Clipped] = []
    if place in ("swim", "wade"):
        base = _pick(rng, _WATERS)
        if place == "swim":
            x = np.linspace(-0.62, 0.58, 12)
            wavy = waterline + 0.012 * np.sin(x * 14 + rng.uniform(0, 6))
            top = np.stack([x, wavy], axis=1)
            hull = np.concatenate(
                [top, [[0.4, waterline + 0.5], [-0.4, waterline + 0.5]]]
            )
            # Painting nothing uncovers the backdrop's water.
            strokes.append(Stroke(hull, (0, 0, 0), Region.NOTHING))
        for i in range(4):
            long = rng.uniform(0.3, 0.7)
            x, y = rng.uniform(-0.3, 0.3), waterline + 0.02 + 0.07 * i
            ripple = np.array([(x - long, y), (x, y + 0.012), (x + long, y)])
            strokes.append(Stroke(ripple, shade(base, 1.2), Region.WATER, 0.014))
    if place in ("reeds", "ground", "leaves") and rng.random() < 0.3:
        x = rng.uniform(-0.6, 0.6)
        tip = np.array(
            [(x - 0.03, 2.0), (x + rng.uniform(-0.3, 0.3), -0.3), (x + 0.03, 2.0)]
        )
        strokes.append(Stroke(tip, _pick(rng, _REEDS), Region.REED))
    return strokes
