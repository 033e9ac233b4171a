"""Head, bill and eyes of a drawn bird, in a frame where the head's radius is 1."""

import numpy as np

from vitproto.demo.birds.figure import DARK, Figure, path
from vitproto.demo.birds.painting import (
    Clipped,
    Points,
    Region,
    Stroke,
    disc,
    mixed,
    moved,
    shade,
    smooth,
)

_MARKS: dict[str, list[tuple[Points, Region, float]]] = {
    "eyebrow": [(
        smooth(path("1,-0.3 0.4,-0.46 -0.3,-0.42 -1,-0.15"), closed=False),
        Region.FACE, 0.2,
    )],
    "eyeline": [(path("1.1,0 0.36,-0.08 -1,0.06"), Region.FACE, 0.17)],
    "masked": [(
        smooth(path("1.2,-0.3 0.3,-0.42 -0.6,-0.3 -0.8,0.1 -0.2,0.3 1.2,0.26")),
        Region.FACE, 0.0,
    )],
    "malar": [(path("0.85,0.3 0.4,0.45 -0.1,0.85"), Region.FACE, 0.2)],
    "striped": [
        (path("0.8,-0.8 0,-0.85 -0.9,-0.75"), Region.CROWN, 0.14),
        (path("0.8,-0.47 0,-0.52 -0.9,-0.42"), Region.CROWN, 0.14),
    ],
    "spotted": [
        (disc(x, y, 0.1), Region.FACE, 0.0)
        for x, y in path("-0.4,-0.1 -0.2,0.25 0.2,0.3 -0.5,0.4 -0.15,-0.35")
    ],
}  # fmt: skip
"""Outlines, and lines of some width, of the head patterns inside the head."""


def head(fig: Figure) -> list[Stroke | Clipped]:
    """A head in profile with its bill and eye."""
    patterns = fig.bird.head_patterns
    cap = -0.16 if "capped" in patterns else -0.4
    crown = moved(path("0.6,-1.4 0.62,0 -0.7,-0.05 -1.4,-0.3 -1.4,-1.4"), 0.0, cap)
    forehead = np.concatenate(
        [path("0.22,-1.4"), [[0.5, cap]], path("0.72,-0.28 1.4,-0.02 1.4,-1.4")]
    )
    inside = [
        _area(
            fig, "throat", path("1.4,0.2 0.6,0.3 0.1,0.5 -0.35,0.9 -0.4,1.4 1.4,1.4")
        ),
        _area(fig, "nape", path("-1.4,-0.9 -0.62,-0.8 -0.56,0.1 -0.5,1.4 -1.4,1.4")),
        _area(fig, "crown", crown),
        _area(fig, "forehead", forehead),
    ]
    for pattern in patterns:
        inside += [
            Stroke(fig.on_head(line), fig.marks["head"], region, w * fig.build.head)
            for line, region, w in _MARKS.get(pattern, [])
        ]
    skull = fig.on_head(disc(0.04, 0.0, 1.06, 0.97))
    strokes: list[Stroke | Clipped] = [*_bill(fig)]
    if "crested" in patterns:
        crest = path("0.55,-0.75 0.1,-1.3 -0.75,-1.8 -1.45,-1.75 -0.9,-1.2 -0.95,-0.3")
        strokes.append(_area(fig, "crown", crest))
    strokes.append(Clipped(skull, fig.tints["face"], Region.FACE, inside))
    if "eyering" in patterns:
        ring = fig.on_head(disc(0.36, -0.1, 0.36))
        strokes.append(Stroke(ring, fig.marks["head"], Region.FACE))
    return strokes + _eye(fig, 0.36, -0.1, 0.21, Region.EYE)


def owl_head(fig: Figure) -> list[Stroke | Clipped]:
    """An owl looks at us: two eyes, a facial disc, and perhaps ear tufts."""
    strokes: list[Stroke | Clipped] = []
    if "crested" in fig.bird.head_patterns:
        tuft = path("0.9,-0.3 0.8,-1.35 0.2,-0.8")
        strokes += [_area(fig, "crown", tuft * (side, 1)) for side in (-1, 1)]
    inside = [
        _area(fig, "throat", path("-2,0.45 2,0.45 2,2 -2,2")),
        _area(fig, "crown", path("-2,-0.25 2,-0.25 2,-2 -2,-2")),
        _area(fig, "forehead", path("-0.5,-1 0.5,-1 0.12,-0.1 -0.12,-0.1")),
    ]
    face = fig.tints["face"]
    for x in (-0.42, 0.42):
        for radius, rgb in ((0.52, shade(face, 0.72)), (0.46, face)):
            around_eye = fig.on_head(disc(x, 0.02, radius))
            inside.append(Stroke(around_eye, rgb, Region.FACE))
    skull = fig.on_head(disc(0.0, 0.0, 1.02, 0.96))
    strokes.append(Clipped(skull, fig.tints["crown"], Region.CROWN, inside))
    strokes += _eye(fig, -0.4, 0.0, 0.25, Region.FAR_EYE)
    strokes += _eye(fig, 0.4, 0.0, 0.25, Region.EYE)
    bill = path("-0.14,0 0.14,0 0.08,0.6 0,1") * (1, 2 * fig.bird.bill_ratio)
    strokes.append(_area(fig, "bill", moved(smooth(bill), 0.0, 0.06)))
    return strokes


def _area(fig: Figure, part: str, outline: Points) -> Stroke:
    return Stroke(fig.on_head(outline), fig.tints[part], Region[part.upper()])


def _eye(
    fig: Figure, x: float, y: float, radius: float, region: Region
) -> list[Stroke]:
    """Iris, pupil and a glint; a light rim keeps a black eye visible on black."""
    black = fig.bird.colors["eye"] == "black"
    rim = mixed(fig.tints["face"], (150, 150, 150), 0.35) if black else DARK
    ring_region = Region.FACE if black else region
    strokes = [
        Stroke(fig.on_head(disc(x, y, radius * 1.2)), rim, ring_region),
        Stroke(fig.on_head(disc(x, y, radius)), fig.tints["eye"], region),
    ]
    if not black:
        strokes.append(Stroke(fig.on_head(disc(x, y, radius * 0.45)), DARK, region))
    glint = disc(x + radius * 0.3, y - radius * 0.38, radius * 0.28)
    return [*strokes, Stroke(fig.on_head(glint), (250, 250, 250), region)]


def _bill(fig: Figure) -> list[Stroke]:
    """Two edges along a middle line: thickness and bend tell the shapes apart."""
    s = np.linspace(0, 1, 14)
    long = 2 * fig.bird.bill_ratio
    half, bend = _bill_profile(fig.bird.bill_shape, s, long)
    x = 0.82 + (long + 0.15) * s
    upper = np.stack([x, 0.08 + bend - half], axis=1)
    lower = np.stack([x, 0.08 + bend + half], axis=1)
    gape = np.stack([x, 0.11 + bend], axis=1)[:9]
    line = mixed(fig.tints["bill"], DARK, 0.45)
    width = 0.05 * fig.build.head
    return [
        _area(fig, "bill", np.concatenate([upper, lower[::-1]])),
        Stroke(fig.on_head(gape), line, Region.BILL, width),
    ]


def _bill_profile(
    shape: str, s: np.ndarray, long: float
) -> tuple[np.ndarray, np.ndarray]:
    """Half the thickness and the drop of the middle line, from base 0 to tip 1."""
    straight = np.zeros_like(s)
    match shape:
        case "cone":
            return 0.4 * (1 - s), straight
        case "needle":
            return 0.11 * (1 - s) ** 0.4, straight
        case "dagger":
            return 0.25 * (1 - s) ** 0.8, straight
        case "hooked":
            return 0.3 * (1 - s**2.2), 0.55 * s**3
        case "hooked_seabird":
            half = 0.22 * np.where(s < 0.8, 1 - 0.15 * s, 4.4 * (1 - s))
            return half, 0.3 * np.clip((s - 0.6) / 0.4, 0, 1) ** 2
        case "spatulate":
            at, thick = [0, 0.4, 0.8, 0.95, 1], [0.3, 0.17, 0.21, 0.15, 0]
            return np.interp(s, at, thick), 0.12 * s - 0.1 * s**2
        case "curved_(up_or_down)":
            return 0.16 * (1 - s) ** 0.6, 0.42 * long * s**2
        case "specialized":
            return 0.42 * (1 - s**2) ** 0.6, 0.5 * s**3
        case "all-purpose":
            return 0.23 * (1 - s) ** 0.85, straight
    raise AssertionError(shape)
