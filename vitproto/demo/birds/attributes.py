"""Label drawn birds as in CUB-200-2011: attributes, parts, simulated annotators."""

from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Bool, Int, UInt8

from vitproto.demo.birds.painting import Region
from vitproto.demo.birds.traits import Bird

MIN_PIXELS = 5
"""A part that covers fewer pixels counts as not visible."""

_REGIONS_OF_GROUP = {
    "has_bill_shape": (Region.BILL,),
    "has_wing_color": (Region.WING,),
    "has_upperparts_color": (Region.BACK, Region.WING),
    "has_underparts_color": (Region.BREAST, Region.BELLY),
    "has_breast_pattern": (Region.BREAST,),
    "has_back_color": (Region.BACK,),
    "has_tail_shape": (Region.UPPER_TAIL,),
    "has_upper_tail_color": (Region.UPPER_TAIL,),
    "has_head_pattern": (Region.FACE,),
    "has_breast_color": (Region.BREAST,),
    "has_throat_color": (Region.THROAT,),
    "has_eye_color": (Region.EYE,),
    "has_bill_length": (Region.BILL,),
    "has_forehead_color": (Region.FOREHEAD,),
    "has_under_tail_color": (Region.UNDER_TAIL,),
    "has_nape_color": (Region.NAPE,),
    "has_belly_color": (Region.BELLY,),
    "has_wing_shape": (Region.WING,),
    "has_back_pattern": (Region.BACK,),
    "has_tail_pattern": (Region.UPPER_TAIL,),
    "has_belly_pattern": (Region.BELLY,),
    "has_primary_color": (Region.PRIMARY,),
    "has_leg_color": (Region.LEG,),
    "has_bill_color": (Region.BILL,),
    "has_crown_color": (Region.CROWN,),
    "has_wing_pattern": (Region.WING,),
}
"""Parts of which one must be visible to judge a group. Size and overall shape have
none: they are judged from the whole bird."""

PARTS = (
    "back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg",
    "left wing", "nape", "right eye", "right leg", "right wing", "tail", "throat",
)  # fmt: skip
"""CUB's fifteen parts in the order of parts.txt."""

_REGION_OF_PART = {
    "back": Region.BACK,
    "beak": Region.BILL,
    "belly": Region.BELLY,
    "breast": Region.BREAST,
    "crown": Region.CROWN,
    "forehead": Region.FOREHEAD,
    "nape": Region.NAPE,
    "tail": Region.UPPER_TAIL,
    "throat": Region.THROAT,
    "near eye": Region.EYE,
    "near leg": Region.LEG,
    "near wing": Region.WING,
    "far eye": Region.FAR_EYE,
    "far leg": Region.FAR_LEG,
    "far wing": Region.FAR_WING,
}


_LOOKS_LIKE = {
    "rufous": "brown", "brown": "rufous", "buff": "white", "white": "buff",
    "grey": "white", "black": "grey", "olive": "brown", "yellow": "buff",
    "orange": "yellow", "red": "orange", "pink": "white", "purple": "blue",
    "blue": "grey", "green": "olive", "iridescent": "green",
}  # fmt: skip


@cache
def attribute_names() -> tuple[str, ...]:
    """CUB's 312 attributes in their official order, such as has_size::large_(…)."""
    text = (
        files("vitproto.demo.birds").joinpath("cub_attributes.txt").read_text("utf-8")
    )
    return tuple(line.split(" ", 1)[1] for line in text.splitlines())


@cache
def attribute_groups() -> tuple[str, ...]:
    """The group of each attribute: the name before its colons."""
    return tuple(name.split("::")[0] for name in attribute_names())


def present_attributes(bird: Bird) -> Bool[np.ndarray, " t"]:
    """The attributes, of 312, that a bird has, visible or not.

    A part has the colour of its marks besides its own. Attributes that cannot be drawn
    are never present.
    """
    present = {f"{group}::{word}" for group, word in _words(bird)}
    names = attribute_names()
    assert present <= set(names), present - set(names)
    return np.array([name in present for name in names])


def _words(bird: Bird) -> list[tuple[str, str]]:
    colors = {part: [color] for part, color in bird.colors.items()}
    for part, mark in bird.marks.items():
        colors["upper_tail" if part == "tail" else part].append(mark)
    colors["wing"] += [bird.colors["primary"]]
    colors["upperparts"] = colors["back"] + colors["wing"]
    colors["underparts"] = colors["breast"] + colors["belly"]
    del colors["face"]  # CUB has no word for it.
    words = [(f"has_{p}_color", color) for p, cs in colors.items() for color in cs]
    words += [(f"has_{part}_pattern", word) for part, word in bird.patterns.items()]
    words += [("has_head_pattern", word) for word in bird.head_patterns]
    size = next(
        n for n in attribute_names() if n.startswith(f"has_size::{bird.size}_(")
    )
    return [
        *words,
        ("has_bill_shape", bird.bill_shape),
        ("has_bill_length", _bill_length(bird.bill_ratio)),
        ("has_tail_shape", bird.tail_shape),
        ("has_wing_shape", bird.wing_shape),
        ("has_size", size.split("::")[1]),
        ("has_shape", bird.shape),
    ]


def _bill_length(ratio: float) -> str:
    if ratio < 0.72:
        return "shorter_than_head"
    return "about_the_same_as_head" if ratio < 1.12 else "longer_than_head"


def visible_attributes(
    regions_HW: UInt8[np.ndarray, "h w"], *, flying: bool
) -> Bool[np.ndarray, " t"]:
    """The attributes that can be judged in a picture.

    Their part covers at least `MIN_PIXELS` pixels. The wing's shape needs a spread
    wing.
    """
    seen = np.bincount(regions_HW.ravel(), minlength=256) >= MIN_PIXELS
    judged = {}
    for group in dict.fromkeys(attribute_groups()):
        regions = _REGIONS_OF_GROUP.get(group)
        judged[group] = regions is None or any(seen[region] for region in regions)
    judged["has_wing_shape"] &= flying
    return np.array([judged[group] for group in attribute_groups()])


def annotated(
    rng: np.random.Generator,
    present_T: Bool[np.ndarray, " t"],
    visible_T: Bool[np.ndarray, " t"],
) -> tuple[Bool[np.ndarray, " t"], Int[np.ndarray, " t"]]:
    """Simulate the labels of a hurried annotator.

    There is one certainty per group, as on CUB's forms: 1 not visible, 2 guessing, 3
    probably, 4 definitely. Of the present attributes that are judged, 3 % are
    overlooked, and 3 % are mistaken for the most similar colour.

    Returns:
        The attributes labelled as present, and the certainty of each.
    """
    groups = attribute_groups()
    labels_T, certainty_T = present_T.copy(), np.zeros(len(groups), dtype=np.int64)
    for group in dict.fromkeys(groups):
        members = np.flatnonzero([g == group for g in groups])
        if visible_T[members[0]]:
            certainty = int(rng.choice([2, 3, 4], p=[0.05, 0.24, 0.71]))
        else:
            certainty = int(rng.choice([1, 2], p=[0.85, 0.15]))
        certainty_T[members] = certainty
        if certainty == 1:
            labels_T[members] = False
        mistake = rng.random(len(members))
        for t in members[(mistake < 0.06) & labels_T[members]]:
            labels_T[t] = False
            taken_for = _mistaken(attribute_names()[t])
            if mistake[t - members[0]] < 0.03 and taken_for is not None:
                labels_T[taken_for] = True
    return labels_T, certainty_T


def _mistaken(name: str) -> int | None:
    """The attribute for which this one is mistaken, if it has a similar colour."""
    group, word = name.split("::")
    if not group.endswith("_color") or word not in _LOOKS_LIKE:
        return None
    other = f"{group}::{_LOOKS_LIKE[word]}"
    return attribute_names().index(other)


def part_locations(
    regions_HW: UInt8[np.ndarray, "h w"], *, faces_left: bool
) -> dict[str, tuple[float, float] | None]:
    """The location of each of CUB's parts in pixels (x, y); None if not visible.

    This is the part's pixel nearest to the mean of its pixels, so that a bent part is
    not located outside itself. A bird that faces left shows its left side.
    """
    near, far = ("left", "right") if faces_left else ("right", "left")
    locations: dict[str, tuple[float, float] | None] = {}
    for part, region in _REGION_OF_PART.items():
        name = part.replace("near", near).replace("far", far)
        y, x = np.nonzero(regions_HW == region)
        if len(x) < MIN_PIXELS:
            locations[name] = None
            continue
        i = np.argmin((x - x.mean()) ** 2 + (y - y.mean()) ** 2)
        locations[name] = (float(x[i]), float(y[i]))
    return {part: locations[part] for part in PARTS}


def bounding_box(regions_HW: UInt8[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """The smallest box (x, y, width, height) around all pixels of the bird."""
    y, x = np.nonzero(regions_HW >= Region.WING)
    left, top = int(x.min()), int(y.min())
    return left, top, int(x.max()) - left + 1, int(y.max()) - top + 1
