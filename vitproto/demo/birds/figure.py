"""One bird in one pose: the places and paints of its parts.

Lengths are in body lengths, x points forward and y down; the middle of the body is
the origin.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from vitproto.demo.birds.builds import BUILDS, Build
from vitproto.demo.birds.painting import Points, Rgb, Stroke
from vitproto.demo.birds.traits import PALETTE, Bird

DARK = (34, 30, 30)


@dataclass(frozen=True)
class Pose:
    """The posture of a bird, drawn at random for each picture."""

    lean: float
    """Degrees by which the front of the body is raised."""
    head_tilt: float
    """Degrees by which the bill points up."""
    tail_droop: float
    """Degrees by which the tail hangs below the line of the body."""
    flying: bool
    wing_lift: float
    """Degrees from straight ahead to the raised wing, below 0 where it beats down."""
    clinging: bool
    """Whether the feet reach forward, to a trunk."""
    stretch: float
    """Length of neck, legs and tail relative to the usual."""


@dataclass(frozen=True)
class Figure:
    """A posed bird, as the functions that draw its parts need it."""

    bird: Bird
    build: Build
    pose: Pose
    head_at: np.ndarray
    hips: list[np.ndarray]
    feet: list[np.ndarray]
    tints: dict[str, Rgb]
    """The paint of each part: this individual's shade of its colour."""
    marks: dict[str, Rgb]
    """The paint of each part's marks, and of the head's under "head"."""

    def on_body(self, points: Points) -> Points:
        """From the frame of the body, whose axis is level, to the bird's."""
        return points @ rotation(self.pose.lean)

    def on_head(self, points: Points) -> Points:
        """From the frame of the head, where its radius is 1, to the bird's."""
        turned = points * self.build.head @ rotation(self.pose.head_tilt)
        return turned + self.head_at

    def strokes_on_body(self, strokes: list[Stroke]) -> list[Stroke]:
        """Move strokes with the body."""
        return [
            Stroke(self.on_body(s.points), s.rgb, s.region, s.width) for s in strokes
        ]


def posed(bird: Bird, pose: Pose, rng: np.random.Generator) -> Figure:
    """The places of all parts of a bird in a pose."""
    build = BUILDS[bird.shape]
    turn = rotation(pose.lean)
    angle = np.radians(build.neck_angle + 0.35 * (pose.lean - build.lean))
    reach = build.neck * pose.stretch + 0.72 * build.head
    shoulder = np.array([0.36, -0.1]) @ turn
    hips = [np.array([u, 0.40 * build.depth]) @ turn for u in (-0.1, 0.02)]
    if pose.clinging:
        front = max(0.5 * build.depth, 0.2) + 0.1
        feet = [
            np.array([front, hips[0][1] + 0.04]),
            np.array([front, hips[1][1] - 0.12]),
        ]
    else:
        floor = max(hip[1] for hip in hips) + build.leg * pose.stretch
        feet = [np.array([hips[0][0], floor]), np.array([hips[1][0] + 0.06, floor])]
    words = {**bird.marks, "head": bird.head_mark}
    return Figure(
        bird=bird,
        build=build,
        pose=pose,
        head_at=shoulder + reach * np.array([np.cos(angle), -np.sin(angle)]),
        hips=hips,
        feet=feet,
        tints={part: _tint(rng, word) for part, word in bird.colors.items()},
        marks={part: _tint(rng, word) for part, word in words.items()},
    )


def rotation(degrees: float) -> np.ndarray:
    """The matrix by which rows are multiplied to raise what points forward."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


@cache
def path(text: str) -> Points:
    """The points of "x,y x,y ...". Shared between birds, so it cannot be written."""
    points = np.array([[float(c) for c in pair.split(",")] for pair in text.split()])
    points.flags.writeable = False
    return points


def _tint(rng: np.random.Generator, word: str) -> Rgb:
    jitter = np.array(PALETTE[word]) + rng.integers(-7, 8, 3)
    r, g, b = np.clip(jitter, 0, 255).tolist()
    return r, g, b
