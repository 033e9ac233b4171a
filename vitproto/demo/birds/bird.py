"""Draw one picture of one bird, with the region of each pixel."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import ImageFilter

from vitproto.demo.birds import scenery
from vitproto.demo.birds.body import body, leg, neck
from vitproto.demo.birds.builds import BUILDS
from vitproto.demo.birds.figure import Figure, Pose, posed
from vitproto.demo.birds.head import head, owl_head
from vitproto.demo.birds.painting import Canvas, Clipped, Points, Region, Stroke
from vitproto.demo.birds.traits import Bird, Species, choose, individual_of
from vitproto.demo.birds.wings import folded_wing, spread_wing, tail

_THICKNESS = {
    "very_small": 0.3, "small": 0.19, "medium": 0.13, "large": 0.09, "very_large": 0.07,
}  # fmt: skip
_CLOSENESS = {
    "very_small": 0.62, "small": 0.72, "medium": 0.8, "large": 0.86, "very_large": 0.92,
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A drawn bird with the region of each pixel."""

    image_HWC: UInt8[np.ndarray, "h w 3"]
    regions_HW: UInt8[np.ndarray, "h w"]
    """The `Region` that covers the middle of each pixel."""
    bird: Bird
    place: str
    """The bird's place: branch, ground, flight, swim, ..."""
    flying: bool
    faces_left: bool


def draw_individual(
    seed: int, species: Species, i_species: int, i_individual: int, image_size: int
) -> Picture:
    """Draw a picture that depends only on the arguments, not on others drawn before."""
    sequence = np.random.SeedSequence(seed, spawn_key=(1, i_species, i_individual))
    rng = np.random.default_rng(sequence)
    return draw_bird(individual_of(species, rng), rng, image_size)


def draw_bird(bird: Bird, rng: np.random.Generator, image_size: int) -> Picture:
    """Draw a bird in one of the places of its species.

    Args:
        bird: its appearance.
        rng: determines place, pose, framing and light.
        image_size: pixels of the longer side.
    """
    place = choose(rng, BUILDS[bird.shape].places)
    pose = _pose(rng, bird, place)
    fig = posed(bird, pose, rng)
    strokes = _strokes(fig, rng)
    size, frame = _framed(rng, bird, strokes, image_size)
    reach = max(size) / frame.scale
    if pose.flying:
        under: list[Stroke | Clipped] = []
    else:
        thickness = _THICKNESS[bird.size] * float(rng.uniform(0.7, 1.3))
        under = scenery.perch(rng, place, fig.feet, reach, thickness)
    waterline = _waterline(place, fig)
    over = scenery.foreground(rng, place, waterline, reach)
    canvas = Canvas(size, frame.to_pixels, frame.scale)
    canvas.paint(under + strokes + over)
    floor = float(frame.to_pixels(np.array([[0, waterline]]))[0, 1]) / size[1]
    behind = scenery.backdrop(rng, place, size, float(np.clip(floor, 0.4, 1.0)))
    image_HWC, regions_HW = _developed(rng, canvas, behind)
    _add_sheen(image_HWC, regions_HW, bird)
    return Picture(image_HWC, regions_HW, bird, place, pose.flying, frame.mirrored)


def _pose(rng: np.random.Generator, bird: Bird, place: str) -> Pose:
    build = BUILDS[bird.shape]
    lean = build.lean + rng.uniform(-9, 9)
    if place == "flight" and bird.shape != "hummingbird-like":
        lean = rng.uniform(-6, 16)
    if place == "swim":
        lean = rng.uniform(0, 8)
    if place == "trunk":
        lean = rng.uniform(62, 84)
    lift = rng.uniform(88, 138) if rng.random() < 0.72 else rng.uniform(-112, -80)
    return Pose(
        lean=float(lean),
        head_tilt=float(rng.uniform(-14, 14)),
        tail_droop=float(rng.uniform(-14, 10)),
        flying=place == "flight",
        wing_lift=float(lift),
        clinging=place == "trunk",
        stretch=float(rng.uniform(0.85, 1.15)),
    )


def _strokes(fig: Figure, rng: np.random.Generator) -> list[Stroke | Clipped]:
    """Everything to paint for one bird, from the far wing to the near leg."""
    strokes: list[Stroke | Clipped] = []
    if fig.pose.flying:
        strokes.append(spread_wing(fig, far=True))
    elif not fig.pose.clinging:
        strokes += leg(fig, far=True)
    strokes += tail(fig)
    strokes.append(body(fig, rng))
    strokes += neck(fig)
    strokes += owl_head(fig) if fig.bird.shape == "owl-like" else head(fig)
    if fig.pose.flying:
        return [*strokes, spread_wing(fig, far=False)]
    return strokes + folded_wing(fig, rng) + leg(fig, far=False)


def _waterline(place: str, fig: Figure) -> float:
    """The height of water or ground in the bird's frame."""
    if place == "swim":
        return 0.3 * fig.build.depth
    return float(max(foot[1] for foot in fig.feet)) - 0.03


@dataclass(frozen=True)
class _Frame:
    """Converts the bird's frame to final pixels."""

    turn: np.ndarray
    scale: float
    shift: np.ndarray
    mirrored: bool

    def to_pixels(self, points: Points) -> Points:
        return points @ self.turn * self.scale + self.shift


def _framed(
    rng: np.random.Generator,
    bird: Bird,
    strokes: list[Stroke | Clipped],
    image_size: int,
) -> tuple[tuple[int, int], _Frame]:
    """Frame the bird like a photographer: large, near the middle, rarely cropped."""
    corners = np.concatenate(
        [s.outline if isinstance(s, Clipped) else s.points for s in strokes]
    )
    mirrored = bool(rng.random() < 0.5)
    c, s = np.cos(t := np.radians(rng.uniform(-5, 5))), np.sin(t)
    turn = np.array([[c, -s], [s, c]]) * ([[-1], [1]] if mirrored else [[1], [1]])
    corners = corners @ turn
    low, high = corners.min(axis=0), corners.max(axis=0)
    aspect = float(np.clip((high - low)[0] / (high - low)[1], 0.75, 1.4))
    aspect *= float(rng.uniform(0.85, 1.2))
    short = round(image_size * min(aspect, 1 / aspect))
    size = (image_size, short) if aspect > 1 else (short, image_size)
    fill = _CLOSENESS[bird.size] * float(rng.uniform(0.85, 1.15))
    scale = fill * float(np.min(np.array(size) / (high - low)))
    slack = np.array(size) - scale * (high - low)
    # One in eight pictures may cut something off.
    stray = 0.25 if rng.random() < 0.875 else -0.15
    corner = slack * 0.5 + (rng.uniform(stray, 1 - stray, 2) - 0.5) * np.maximum(
        slack, 0.2 * np.array(size) * (stray < 0)
    )
    return size, _Frame(turn, scale, corner - scale * low, mirrored)


def _developed(
    rng: np.random.Generator, canvas: Canvas, behind: scenery.Backdrop
) -> tuple[np.ndarray, np.ndarray]:
    """Put the painting before its backdrop and light both."""
    colors, coverage, front_HW = canvas.flattened()
    alpha_HW1 = np.asarray(coverage, np.float32)[..., None] / 255
    image_HWC = np.asarray(behind.colors, np.float32) * (1 - alpha_HW1)
    image_HWC += np.asarray(colors, np.float32)
    soft = coverage.filter(ImageFilter.BoxBlur(4))
    soft_HW = np.asarray(soft, np.float32) / 255
    # Light from above: brighter where what is above is empty, darker below.
    bevel_HW = np.zeros_like(soft_HW)
    bevel_HW[4:-4] = soft_HW[8:] - soft_HW[:-8]
    light_HW = 1 + 0.2 * bevel_HW * alpha_HW1[..., 0]
    warmth = rng.uniform(-0.035, 0.035)
    tint = rng.uniform(0.9, 1.08) * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    grain_HW = rng.integers(-4, 5, light_HW.shape, dtype=np.int8)
    image_HWC *= light_HW[..., None] * tint.astype(np.float32)
    image_HWC += grain_HW[..., None]
    regions_HW = np.where(front_HW > 0, front_HW, behind.regions_HW)
    return np.clip(image_HWC, 0, 255).astype(np.uint8), regions_HW


def _add_sheen(image_HWC: np.ndarray, regions_HW: np.ndarray, bird: Bird) -> None:
    """Iridescent feathers change hue across the bird; on average they stay teal."""
    shiny = [Region[p.upper()] for p, c in bird.colors.items() if c == "iridescent"]
    if not shiny:
        return
    table = np.zeros(256, bool)
    table[shiny] = True
    y, x = np.nonzero(table[regions_HW])
    wave = np.sin((x + 1.7 * y) / 4.5)[:, None] * np.array([34, 26, -30])
    image_HWC[y, x] = np.clip(image_HWC[y, x] + wave, 0, 255)
