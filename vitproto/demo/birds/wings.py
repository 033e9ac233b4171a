"""Wings and tail of a drawn bird."""

import numpy as np

from vitproto.demo.birds.body import speckles
from vitproto.demo.birds.figure import Figure, path, rotation
from vitproto.demo.birds.painting import (
    Clipped,
    Points,
    Region,
    Rgb,
    Stroke,
    disc,
    moved,
    shade,
    smooth,
)

_TAIL_ENDS = {
    "forked_tail": path("1,0.15 0.5,0 0.96,-0.15"),
    "notched_tail": path("1,0.11 0.84,0 0.97,-0.11"),
    "squared_tail": path("0.97,0.115 0.97,-0.115"),
    "rounded_tail": path("0.84,0.12 0.96,0.08 1,0 0.96,-0.08 0.84,-0.12"),
    "fan-shaped_tail": path("0.74,0.3 0.92,0.19 1,0 0.92,-0.19 0.74,-0.3"),
    "pointed_tail": path("0.6,0.09 1,0.01 0.6,-0.09"),
}
"""x in tail lengths, y in body lengths."""

_WINGS = {
    "rounded-wings": (
        (0.95, 0.5),
        path("0,0 0.4,-0.12 0.8,-0.06 1,0.35 0.86,0.8 0.4,1 0,0.9"),
    ),
    "broad-wings": (
        (1.2, 0.54),
        path(
            "0,0 0.45,-0.14 0.92,-0.04 1,0.12 0.9,0.2 0.99,0.38 0.86,0.42 0.93,0.62 "
            "0.8,0.62 0.83,0.82 0.4,1 0,0.9"
        ),
    ),
    "pointed-wings": (
        (1.15, 0.42),
        path("0,0 0.4,-0.2 0.75,-0.02 1,0.62 0.7,0.72 0.35,0.9 0,0.95"),
    ),
    "tapered-wings": (
        (1.4, 0.36),
        path("0,0 0.35,-0.3 0.7,-0.05 1,0.95 0.7,0.55 0.35,0.75 0,0.95"),
    ),
    "long-wings": (
        (1.6, 0.34),
        path("0,0 0.45,-0.25 0.85,-0.1 1,0.4 0.85,0.65 0.4,0.85 0,0.95"),
    ),
}
"""Length and width in body lengths, and the outline of a spread wing in both: x runs
to the tip, y rearward."""


def tail(fig: Figure) -> list[Stroke | Clipped]:
    """The tail with its pattern, and the coverts below it."""
    long = fig.build.tail * fig.pose.stretch
    tip = long + 0.15
    turn = rotation(fig.pose.lean + 180 + fig.pose.tail_droop)
    root = fig.on_body(path("-0.34,-0.02"))[0]

    def place(points: Points) -> Points:
        return points * (tip, -1) @ turn + root

    rgb, region = fig.tints["upper_tail"], Region.UPPER_TAIL
    inside = [
        Stroke(
            place(path(f"0.2,{0.02 * i} 1,{0.055 * i}")), shade(rgb, 0.8), region, 0.008
        )
        for i in (-1, 0, 1)
    ]
    marks = [place(outline) for outline in _tail_marks(fig.bird.patterns["tail"], tip)]
    inside += [Stroke(outline, fig.marks["tail"], region) for outline in marks]
    end = _TAIL_ENDS[fig.bird.tail_shape]
    outline = np.concatenate([path("0,-0.1 0,0.1"), end])
    d = fig.build.depth
    below = np.array(
        [(-0.2, 0.3 * d), (-0.25, 0), (-0.4 - 0.45 * long, 0.02), (-0.42, 0.14)]
    )
    return [
        Stroke(fig.on_body(smooth(below)), fig.tints["under_tail"], Region.UNDER_TAIL),
        Clipped(place(outline), rgb, region, inside),
    ]


def _tail_marks(pattern: str, tip: float) -> list[Points]:
    if pattern == "striped":
        bar = path("0,-0.4 0.08,-0.4 0.08,0.4 0,0.4")
        return [moved(bar, s, 0.0) for s in (0.3, 0.5, 0.7, 0.9)]
    if pattern == "spotted":
        spots = path("0.55,0.06 0.72,-0.06 0.72,0.07 0.88,0 0.9,0.1 0.9,-0.1")
        return [disc(s, w, 0.028 / tip, 0.028) for s, w in spots]
    if pattern == "multi-colored":  # A band at the end.
        return [path("0.76,-0.5 2,-0.5 2,0.5 0.76,0.5")]
    return []


def folded_wing(fig: Figure, rng: np.random.Generator) -> list[Stroke | Clipped]:
    """Coverts in scales, the primaries as long feathers behind them."""
    d = fig.build.depth / 0.56
    long = fig.bird.wing_shape in ("long-wings", "tapered-wings")
    tip = -0.78 if long else -0.62
    upper = path("0.3,-0.02 0.2,-0.1 0,-0.13 -0.3,-0.1") * (1, d)
    lower = path("-0.35,0.09 -0.1,0.15 0.12,0.12 0.25,0.06") * (1, d)
    outline = smooth(np.concatenate([upper, [[tip, 0.0]], lower]), 4)
    primaries = path("-0.16,-1 -0.12,0 -0.24,0.07 -0.3,1 -1,1 -1,-1")
    inside = [Stroke(primaries, fig.tints["primary"], Region.PRIMARY)]
    line = _edge(fig, "primary")
    for i in range(4):
        y = d * (-0.05 + 0.035 * i)
        feather = np.array([(-0.14, y + 0.035), (-0.4, y + 0.02), (tip, 0.01)])
        inside.append(Stroke(feather, line, Region.PRIMARY, 0.009))
    arc = smooth(path("0.03,-0.13 -0.05,-0.02 -0.01,0.07 0.06,0.15"), closed=False)
    inside += [
        Stroke(moved(arc, u, 0.0) * (1, d), _edge(fig, "wing"), Region.WING, 0.012)
        for u in (0.14, 0.02, -0.1)
    ]
    inside += _covert_marks(fig, rng, d)
    rim = shade(fig.tints["wing"], 0.6)
    return [
        Stroke(fig.on_body(outline), rim, Region.WING),
        Clipped(
            fig.on_body(outline * (0.985, 0.955)),
            fig.tints["wing"],
            Region.WING,
            fig.strokes_on_body(inside),
        ),
    ]


def _covert_marks(fig: Figure, rng: np.random.Generator, d: float) -> list[Stroke]:
    pattern = fig.bird.patterns["wing"]
    if pattern == "solid":
        return []
    width = 0.0
    if pattern == "striped":  # Two wing bars.
        bar = smooth(path("0.04,-0.1 -0.05,0 0.02,0.16") * (1, d), closed=False)
        outlines, width = [moved(bar, 0.1, 0.0), moved(bar, -0.05, 0.0)], 0.04
    elif pattern == "spotted":
        outlines = speckles(rng, "spotted", (-0.2, 0.26, -0.12 * d, 0.15 * d))
    else:  # A panel.
        panel = path("0,0.02 -0.16,-0.02 -0.26,0.05 -0.1,0.13")
        outlines = [smooth(panel * (1, d))]
    return [Stroke(o, fig.marks["wing"], Region.WING, width) for o in outlines]


def _edge(fig: Figure, part: str) -> Rgb:
    """The paint of a feather's edge: darker, but lighter on black."""
    return shade(fig.tints[part], 1.6 if fig.bird.colors[part] == "black" else 0.74)


def spread_wing(fig: Figure, *, far: bool) -> Clipped:
    """A wing in flight, raised or beating down; its outline is its shape's."""
    (long, wide), outline = _WINGS[fig.bird.wing_shape]
    lift = fig.pose.wing_lift
    rearward = -1 if lift > 0 else 1
    if far:  # Seen beyond the body: shorter, further ahead, darker.
        long, lift = 0.88 * long, lift + 34 * rearward
    turn = rotation(lift + fig.pose.lean)
    root = fig.on_body(path("0.22,-0.06"))[0]
    dim = 0.78 if far else 1.0
    region = Region.FAR_WING if far else Region.WING
    tip_region = Region.FAR_WING if far else Region.PRIMARY

    def stroke(points: Points, rgb: Rgb, region: Region, width: float = 0.0) -> Stroke:
        placed = points * (long, rearward * wide) @ turn + root
        return Stroke(placed, shade(rgb, dim), region, width)

    hand = smooth(path("0.5,-0.5 0.46,0.3 0.3,1.3 1.3,1.3 1.3,-0.5"))
    inside = [stroke(hand, fig.tints["primary"], tip_region)]
    for s in np.linspace(0.12, 0.92, 8):
        feather = np.array([(s * 0.9, 0.25), (s, 1.2)])
        part, where = ("primary", tip_region) if s > 0.45 else ("wing", region)
        inside.append(stroke(feather, _edge(fig, part), where, 0.01))
    coverts = smooth(path("-0.1,-0.5 0.62,-0.5 0.5,0.32 0,0.5"))
    inside.append(stroke(coverts, fig.tints["wing"], region))
    for points, width in _spread_marks(fig.bird.patterns["wing"], long, wide):
        inside.append(stroke(points, fig.marks["wing"], region, width))
    whole = stroke(smooth(outline, 4), fig.tints["wing"], region)
    return Clipped(whole.points, whole.rgb, region, inside)


def _spread_marks(pattern: str, long: float, wide: float) -> list[tuple[Points, float]]:
    """Outlines, and lines of some width."""
    if pattern == "striped":
        bar = path("0.02,0.1 0.35,0.04 0.6,-0.12")
        return [(moved(bar, 0.0, y), 0.045) for y in (0.3, 0.55)]
    if pattern == "spotted":
        return [
            (disc(s, w, 0.03 / long, 0.03 / wide), 0.0)
            for s in (0.1, 0.22, 0.34, 0.46)
            for w in (0.12, 0.36, 0.6)
        ]
    if pattern == "multi-colored":
        return [(smooth(path("0.02,0.55 0.4,0.5 0.42,0.85 0.02,0.85")), 0.0)]
    return []
