"""Body, neck and legs of a drawn bird."""

import numpy as np

from vitproto.demo.birds.figure import Figure, path
from vitproto.demo.birds.painting import (
    Clipped,
    Points,
    Region,
    Rgb,
    Stroke,
    disc,
    moved,
    shade,
)

Box = tuple[float, float, float, float]


def body(fig: Figure, rng: np.random.Generator) -> Clipped:
    """An egg: belly, breast in front, back above, under-tail coverts behind."""
    d = fig.build.depth
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    v = 0.5 * d * np.sin(t) * (1 + 0.24 * np.cos(t))
    outline = np.stack([0.5 * np.cos(t), np.where(v > 0, 1.08, 0.94) * v], axis=1)
    breast = path("0.02,-2 0.16,0.04 0.1,0.2 -0.02,2 1,2 1,-2") * [1, d]
    vent = path("-1,-0.04 -0.3,0.1 -0.27,0.3 -0.34,2 -1,2") * [1, d]
    back = path(
        "-1,-2 -1,0.04 -0.4,0.04 -0.1,-0.09 0.2,-0.16 0.36,-0.3 0.6,-0.5 0.6,-2"
    ) * [1, d]
    inside = [
        Stroke(breast, fig.tints["breast"], Region.BREAST),
        *_marks(fig, rng, "belly", Region.BELLY, (-0.28, 0.1, 0.0, 0.6 * d)),
        *_marks(fig, rng, "breast", Region.BREAST, (0.17, 0.52, -0.1, 0.5 * d)),
        Stroke(vent, fig.tints["under_tail"], Region.UNDER_TAIL),
        Stroke(back, fig.tints["back"], Region.BACK),
        *_marks(fig, rng, "back", Region.BACK, (-0.4, 0.34, -0.5 * d, -0.2 * d)),
    ]
    return Clipped(
        fig.on_body(outline),
        fig.tints["belly"],
        Region.BELLY,
        fig.strokes_on_body(inside),
    )


def _marks(
    fig: Figure, rng: np.random.Generator, part: str, region: Region, box: Box
) -> list[Stroke]:
    """The pattern of one part of the body, in the body's frame."""
    pattern = fig.bird.patterns[part]
    if pattern == "solid":
        return []
    if pattern != "multi-colored":
        outlines = speckles(rng, pattern, box)
    elif part == "breast":  # A band across it.
        outlines = [path("0.26,-1 0.24,0 0.18,1 0.32,1 0.39,0 0.39,-1")]
    elif part == "belly":  # Flanks.
        outlines = [disc(box[0] + 0.2, 0.25 * box[3], 0.22, 0.3 * box[3])]
    else:  # A rump.
        outlines = [path("-0.16,-1 -0.2,0.3 -0.42,0.3 -0.42,-1")]
    return [Stroke(outline, fig.marks[part], region) for outline in outlines]


def speckles(rng: np.random.Generator, pattern: str, box: Box) -> list[Points]:
    """Outlines of the spots or streaks that fill a box, in rows like feathers.

    Args:
        pattern: spotted or striped.
        box: left, right, top and bottom.
    """
    left, right, top, bottom = box
    if pattern == "spotted":
        step, outline = 0.085, disc(0.0, 0.0, 0.026)[::2]
    else:
        step, outline = 0.075, path("-0.05,0 0,-0.016 0.045,0 0,0.016")
    rows = np.arange(top, bottom, step)
    return [
        moved(outline, x + rng.uniform(-0.012, 0.012), y + rng.uniform(-0.012, 0.012))
        for i, y in enumerate(rows)
        for x in np.arange(left + (i % 2) * step * 0.6, right, step * 1.2)
    ]


def neck(fig: Figure) -> list[Stroke]:
    """From shoulder to head: back and nape behind, breast and throat in front."""
    build = fig.build
    base = fig.on_body(path("0.25,-0.03"))[0]
    t = np.linspace(0, 1, 12)[:, None]
    bend = 0.16 * max(0.0, build.neck - 0.3) * np.sin(2 * np.pi * t)
    middle = base + (fig.head_at - base) * t + bend * path("1.0,0.3")
    along = np.gradient(middle, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)  # Points forward.
    wide, narrow = 0.40 * build.depth, 0.84 * build.head
    half = wide + (narrow - wide) * t ** (0.45 if build.neck > 0.3 else 0.8)
    front, rear = middle + across * half, middle - across * half
    core = middle - across * half * 0.15

    def strip(edge: Points, i: int, j: int, part: str) -> Stroke:
        points = np.concatenate([edge[i:j], core[i:j][::-1]])
        return Stroke(points, fig.tints[part], Region[part.upper()])

    return [
        strip(rear, 0, 6, "back"),
        strip(rear, 4, 12, "nape"),
        strip(front, 0, 8, "breast"),
        strip(front, 7, 12, "throat"),
    ]


def leg(fig: Figure, *, far: bool) -> list[Stroke]:
    """Two bones and three toes."""
    hip, foot = (fig.hips[0], fig.feet[0]) if far else (fig.hips[1], fig.feet[1])
    rgb: Rgb = shade(fig.tints["leg"], 0.8) if far else fig.tints["leg"]
    region = Region.FAR_LEG if far else Region.LEG
    knee = 0.5 * (hip + foot) + path("-0.14,0.02")[0] * min(1.0, fig.build.leg)
    toe = 0.07 + 0.03 * fig.build.leg
    toes = [
        np.array([foot, [foot[0] + dx * toe, foot[1] + 0.018]])
        for dx in (-0.6, 0.55, 1.1)
    ]
    bones = Stroke(np.array([hip, knee, foot]), rgb, region, 0.034)
    return [bones, *(Stroke(t, rgb, region, 0.027) for t in toes)]
