"""Invent birds: the traits of species, and how individuals vary.

A `Bird` holds everything that is drawn and labelled. Colour and pattern words are
CUB-200-2011's, so that labels need no translation.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from vitproto.demo.birds.builds import BUILDS

PALETTE = {
    "black": (30, 29, 33),
    "white": (240, 240, 236),
    "grey": (136, 140, 146),
    "brown": (104, 71, 45),
    "rufous": (170, 80, 38),
    "buff": (216, 184, 134),
    "olive": (116, 116, 56),
    "yellow": (242, 208, 46),
    "orange": (240, 134, 34),
    "red": (202, 36, 40),
    "pink": (238, 150, 172),
    "purple": (112, 60, 144),
    "blue": (52, 104, 188),
    "green": (60, 144, 64),
    "iridescent": (14, 102, 110),
}
"""Colour words in RGB, before light and individual variation."""

_UPPER = "brown:22 grey:17 black:15 olive:9 blue:9 rufous:6 green:7 white:5 buff:5"
_UPPER += " iridescent:3 purple:1 red:2 yellow:1"
_UNDER = "white:30 buff:14 grey:12 yellow:12 black:8 rufous:6 orange:5 red:4 brown:4"
_UNDER += " olive:2 pink:2 blue:2 green:1"
_ACCENT = "red:18 yellow:18 orange:12 black:12 white:10 blue:9 rufous:8 pink:4 green:4"
_ACCENT += " purple:3 iridescent:3 buff:2"
_EARTHY = (
    "brown:45 grey:25 rufous:14 white:8 black:8",
    "white:38 buff:28 grey:14 rufous:10 brown:10",
)
_PLUMAGE = {
    "gull-like": ("grey:50 white:25 black:15 brown:10", "white:80 grey:12 brown:8"),
    "hummingbird-like": ("iridescent:3 green:4", _UNDER),
    "owl-like": _EARTHY,
    "hawk-like": _EARTHY,
}
"""Upper and lower colours of the shapes that cannot have any colour."""
_EYE = "black:58 brown:15 yellow:11 red:7 orange:4 white:3 blue:2"
_LEG = "black:30 grey:20 brown:14 pink:9 orange:9 yellow:9 red:4 buff:4 green:1"
_BILL = "black:38 grey:21 brown:9 yellow:11 orange:9 red:4 buff:4 pink:2 blue:1 white:1"
_MARK = "brown:30 black:30 white:20 grey:6 buff:6 rufous:5 yellow:2 blue:1"
_PLAIN = "brown:40 olive:20 grey:20 buff:20"


@dataclass(frozen=True)
class Bird:
    """The appearance of one bird, in CUB's words if CUB has a word."""

    shape: str
    size: str
    colors: dict[str, str]
    """Part to colour: back, wing, primary, breast, belly, throat, nape, crown,
    forehead, face, bill, leg, eye, upper_tail, under_tail."""
    patterns: dict[str, str]
    """Part (back, breast, belly, tail, wing) to solid, spotted, striped or
    multi-colored."""
    marks: dict[str, str]
    """Colour of the marks of each part that is not solid."""
    head_patterns: tuple[str, ...]
    head_mark: str
    """Colour of the stripe, ring or mask that a head pattern draws."""
    bill_shape: str
    bill_ratio: float
    """Bill length in head lengths."""
    tail_shape: str
    wing_shape: str


@dataclass(frozen=True)
class Species:
    """An invented species: its usual look and how its members differ."""

    name: str
    male: Bird
    female: Bird


def choose(rng: np.random.Generator, weighted: str) -> str:
    """Draw one name from "name:weight name:weight ..."."""
    names, weights = zip(*(w.rsplit(":", 1) for w in weighted.split()), strict=True)
    edges = np.cumsum(np.array(weights, dtype=float))
    return names[int(np.searchsorted(edges, rng.uniform(0, edges[-1]), "right"))]


def species_of(seed: int, n_species: int) -> list[Species]:
    """The species of a seed; the first ones do not depend on `n_species`."""
    species: list[Species] = []
    names: set[str] = set()
    for i in range(n_species):
        sequence = np.random.SeedSequence(seed, spawn_key=(0, i))
        rng = np.random.default_rng(sequence)
        male, accent = _sample_bird(rng, _shape_of(seed, i))
        female = _female(rng, male, accent) if rng.random() < 0.4 else male
        name = _name(rng, male, accent, names)
        names.add(name)
        species.append(Species(name, male, female))
    return species


def individual_of(species: Species, rng: np.random.Generator) -> Bird:
    """One member of a species: its sex, its age, and what varies freely."""
    bird = species.male if rng.random() < 0.6 else species.female
    if rng.random() < 0.07:
        bird = _juvenile(rng, bird)
    if rng.random() < 0.04:  # A moulting bird shows another colour on the breast.
        mark = choose(rng, _UNDER)
        if mark != bird.colors["breast"]:
            bird = dataclasses.replace(
                bird,
                patterns={**bird.patterns, "breast": "multi-colored"},
                marks={**bird.marks, "breast": mark},
            )
    return dataclasses.replace(
        bird, bill_ratio=bird.bill_ratio * float(rng.uniform(0.95, 1.05))
    )


def _shape_of(seed: int, i_species: int) -> str:
    """The shape of a species: the golden ratio spreads species evenly over shapes."""
    golden = (np.sqrt(5) - 1) / 2
    start = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,))).random()
    edges = np.cumsum([build.weight for build in BUILDS.values()])
    at = (start + i_species * golden) % 1 * edges[-1]
    return list(BUILDS)[int(np.searchsorted(edges, at, "right"))]


def _sample_bird(rng: np.random.Generator, shape: str) -> tuple[Bird, str]:
    build = BUILDS[shape]
    bill_shape = choose(rng, build.bills)
    bold = shape not in ("owl-like", "hawk-like")
    accent = choose(rng, _ACCENT if bold else "rufous:4 black:3 white:3 buff:2")
    patterns = {
        "back": choose(rng, "solid:62 striped:14 spotted:10 multi-colored:14"),
        "breast": choose(rng, "solid:62 striped:14 spotted:12 multi-colored:12"),
        "belly": choose(rng, "solid:72 striped:12 spotted:8 multi-colored:8"),
        "tail": choose(rng, "solid:62 striped:18 spotted:5 multi-colored:15"),
        "wing": choose(rng, "solid:42 striped:28 spotted:12 multi-colored:18"),
    }
    head_patterns = _sample_head(rng, shape)
    colors = _sample_colors(rng, shape, accent)
    if "capped" in head_patterns and colors["face"] == colors["crown"]:
        colors["face"] = _contrast(colors["crown"])  # Or no cap would be seen.
    marks = _sample_marks(rng, colors, patterns, accent)
    low, high = build.bill_ratio
    scale = {"cone": 0.85, "needle": 1.1, "all-purpose": 0.9}.get(bill_shape, 1.0)
    return (
        Bird(
            shape=shape,
            size=choose(rng, build.sizes),
            colors=colors,
            patterns=patterns,
            marks=marks,
            head_patterns=head_patterns,
            head_mark=_unlike(rng, "black:40 white:35 yellow:15 brown:10", colors),
            bill_shape=bill_shape,
            bill_ratio=float(rng.uniform(low, high)) * scale,
            tail_shape=choose(rng, build.tails),
            wing_shape=choose(rng, build.wings),
        ),
        accent,
    )


def _sample_colors(rng: np.random.Generator, shape: str, accent: str) -> dict[str, str]:
    """Plausible colours: mostly an upper, a lower and an accent colour."""
    uppers, unders = _PLUMAGE.get(shape, (_UPPER, _UNDER))
    upper, under = choose(rng, uppers), choose(rng, unders)
    crown = choose(rng, f"{upper}:42 {accent}:26 black:14 white:4 {under}:8")
    throat = choose(rng, f"{under}:50 {accent}:20 white:16 black:8")
    wing = choose(rng, f"{upper}:66 grey:8 black:9 brown:9 {accent}:4")
    belly = choose(rng, f"{under}:76 white:16 grey:5 {accent}:3")
    return {
        "back": upper,
        "wing": wing,
        "primary": choose(rng, f"{wing}:46 black:26 grey:10 brown:12 white:4"),
        "breast": choose(rng, f"{under}:66 {accent}:20 {throat}:14"),
        "belly": belly,
        "throat": throat,
        "nape": choose(rng, f"{upper}:62 {crown}:26 {accent}:6 grey:6"),
        "crown": crown,
        "forehead": choose(rng, f"{crown}:74 {accent}:14 white:6 {upper}:6"),
        "face": choose(rng, f"{crown}:36 {throat}:28 {upper}:18 {under}:18"),
        "bill": choose(rng, _BILL),
        "leg": choose(rng, _LEG),
        "eye": choose(
            rng, _EYE if shape != "owl-like" else "yellow:5 orange:3 black:2"
        ),
        "upper_tail": choose(rng, f"{upper}:56 {wing}:14 black:12 {accent}:8 white:5"),
        "under_tail": choose(rng, f"{belly}:52 white:20 {accent}:10 grey:8 black:8"),
    }


def _sample_marks(
    rng: np.random.Generator,
    colors: dict[str, str],
    patterns: dict[str, str],
    accent: str,
) -> dict[str, str]:
    marks = {}
    for part, pattern in patterns.items():
        if pattern == "solid":
            continue
        base = colors["upper_tail" if part == "tail" else part]
        wanted = accent if pattern == "multi-colored" else choose(rng, _MARK)
        marks[part] = wanted if wanted != base else _contrast(base)
    return marks


def _contrast(color: str) -> str:
    """A colour that clearly differs from `color`."""
    return "black" if sum(PALETTE[color]) > 380 else "white"


def _unlike(rng: np.random.Generator, weighted: str, colors: dict[str, str]) -> str:
    color = choose(rng, weighted)
    return color if color != colors["face"] else _contrast(color)


def _sample_head(rng: np.random.Generator, shape: str) -> tuple[str, ...]:
    """One or two head patterns; "plain" stands alone."""
    if shape == "owl-like":
        return ("crested",) if rng.random() < 0.5 else ("plain",)
    first = choose(
        rng,
        "plain:40 capped:14 eyebrow:11 eyeline:8 eyering:8 crested:8 masked:7 "
        "malar:6 striped:5 spotted:2",
    )
    if first == "plain" or rng.random() < 0.75:
        return (first,)
    second = choose(rng, "crested:40 eyering:35 malar:25")
    return (first,) if second == first else (first, second)


def _female(rng: np.random.Generator, male: Bird, accent: str) -> Bird:
    """The same build, with duller colours where the male has the accent colour."""
    dull = choose(rng, _PLAIN)
    soft = {part for part in male.colors if part not in ("bill", "leg", "eye")}
    colors = {
        part: dull if color == accent and part in soft else color
        for part, color in male.colors.items()
    }
    return dataclasses.replace(
        male, colors=colors, marks=_kept_apart(male.marks, colors)
    )


def _juvenile(rng: np.random.Generator, bird: Bird) -> Bird:
    """A young bird: brown above, marked below, without the adult's head pattern."""
    colors = {**bird.colors, "crown": "brown", "forehead": "brown", "face": "buff"}
    patterns = {**bird.patterns, "breast": choose(rng, "striped:60 spotted:40")}
    marks = {**bird.marks, "breast": "brown"}
    return dataclasses.replace(
        bird,
        colors=colors,
        patterns=patterns,
        marks=_kept_apart(marks, colors),
        head_patterns=("plain",),
        head_mark="black",
    )


def _kept_apart(marks: dict[str, str], colors: dict[str, str]) -> dict[str, str]:
    kept = {}
    for part, mark in marks.items():
        base = colors["upper_tail" if part == "tail" else part]
        kept[part] = mark if mark != base else _contrast(base)
    return kept


def _name(rng: np.random.Generator, bird: Bird, accent: str, taken: set[str]) -> str:
    """A name that fits the appearance and is not taken."""
    parts = {
        "crown": "crowned", "throat": "throated", "breast": "breasted",
        "belly": "bellied", "back": "backed", "wing": "winged",
        "upper_tail": "tailed", "bill": "billed", "leg": "legged",
        "eye": "eyed", "nape": "naped", "forehead": "fronted",
    }  # fmt: skip
    shown = list(parts)
    rng.shuffle(shown)
    shown.sort(key=lambda part: bird.colors[part] != accent)  # stable: accents first
    nouns = BUILDS[bird.shape].nouns.split()
    first = int(rng.integers(len(nouns)))
    for part in shown:
        for i in range(len(nouns)):
            color = bird.colors[part].capitalize()
            noun = nouns[(first + i) % len(nouns)]
            name = f"{color}_{parts[part]}_{noun}"
            if name not in taken:
                return name
    return f"{bird.size.capitalize()}_{bird.shape.split('-')[0]}_Bird_{len(taken) + 1}"
