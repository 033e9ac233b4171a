"""The few traits that the page of a study shows in pictures, with their images."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from vitproto.pictures.strip import StripImage
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.wording import CONTROL_BADGE, write_bracketed, write_number
from vitproto.report.traits.pages.trait_page import TraitPage

N_HIGHLIGHTS = 5
N_IMAGES = 6
"""Most images of a trait."""


class Pick(NamedTuple):
    """A trait to show, and why."""

    heading: str
    trait: str
    methods: tuple[str, ...]
    """The methods whose AP is said; the images of the first are shown."""


def pick_highlights(
    ap: pd.DataFrame,
    chance: pd.Series,
    ceiling: pd.Series,
    is_common: pd.Series,
    n_prototypes: Mapping[str, int],
    looks: StudyMethods,
) -> list[Pick]:
    """Pick the traits that the study's page shows, each once.

    The traits that the method with the highest mAP finds best and worst, on which the
    best trained autoencoder gains most over an untrained one, that a control finds
    better than the first method, that a supervised probe finds and prototypes do not,
    and one in the middle: the first `N_HIGHLIGHTS` of these that there are. Methods are
    compared with each other only if they have as many prototypes.

    Args:
        ap: the test AP of each trait, a row, and method, a column, the method with the
            highest mAP first; NaN where no prototype could be chosen.
        chance: the AP of a random ranking, by trait.
        ceiling: the AP of a supervised probe, by trait; may lack traits.
        is_common: whether enough classes of test images show a trait, by trait; only
            such traits are picked, if there are any: others have no interval.
        n_prototypes: the number of prototypes of each method.
        looks: the methods of the study.
    """
    if is_common.any():
        ap = ap[is_common.reindex(ap.index)]
    taken, picks = set(), []
    for heading, method, beside, extreme in _rank(
        ap, chance, ceiling, n_prototypes, looks
    ):
        left = extreme.dropna().drop(index=list(taken), errors="ignore")
        if left.empty or len(picks) == N_HIGHLIGHTS:
            continue
        trait = str(left.idxmax())
        taken.add(trait)
        own = method or str(ap.loc[trait].idxmax())
        picks.append(Pick(heading, trait, (own, *beside)))
    return picks


def _rank(
    ap: pd.DataFrame,
    chance: pd.Series,
    ceiling: pd.Series,
    n_prototypes: Mapping[str, int],
    looks: StudyMethods,
) -> Iterator[tuple[str, str | None, tuple[str, ...], pd.Series]]:
    """Yield headings, methods, and by how much each trait deserves the heading.

    The method is None if it is the one that finds the trait best.
    """
    first, *others = ap.columns
    controls = [method for method in ap if looks.family_of(method) is None]
    name = f"{first} {CONTROL_BADGE}" if first in controls else first
    above = ap[first] - chance.reindex(ap.index)
    yield f"Found best by {name}", first, (), above
    yield f"Found worst by {name}", first, (), -above
    autoencoders = [method for method in ap if method in looks.saes]
    pairs = (
        (trained, untrained)
        for trained in autoencoders
        for untrained in autoencoders
        if trained not in looks.controls
        and untrained in looks.controls
        and n_prototypes[trained] == n_prototypes[untrained]
    )
    for trained, untrained in list(pairs)[:1]:
        gain = ap[trained] - ap[untrained]
        heading = f"Gains most by training: {trained} over {untrained} {CONTROL_BADGE}"
        yield heading, trained, (untrained,), gain[gain > 0]
    rivals = [
        method
        for method in others
        if method in controls and n_prototypes[method] == n_prototypes[first]
    ]
    if first not in controls and rivals:
        lead = ap[rivals].sub(ap[first], axis=0)
        rival = str(lead.max().fillna(0).idxmax())
        heading = f"Better found by a control: {rival} {CONTROL_BADGE} over {first}"
        yield heading, rival, (first,), lead[rival][lead[rival] > 0]
    missed = ceiling.reindex(ap.index) - ap.max(axis=1)
    heading = "Farthest below the supervised probe"
    yield heading, None, (), missed[missed > 0]
    yield f"In the middle for {name}", first, (), -(above - above.median()).abs()


def show_highlight(
    pick: Pick, page: TraitPage, file: str, intervals: pd.DataFrame, ceiling: float
) -> dict[str, Any]:
    """Describe a picked trait for `highlights.json`.

    Args:
        pick: the trait.
        page: its page.
        file: the name of that page.
        intervals: `ap`, `low` and `high` of the trait, by method.
        ceiling: the AP of a supervised probe; NaN if there is none.
    """
    *_, images = (
        panel.strips[0].images
        for panel in page.panels
        if panel.finder.method == pick.methods[0]
    )
    found = [
        f"{method} {write_bracketed(*intervals.loc[method, ['ap', 'low', 'high']])}"
        for method in pick.methods
    ]
    probe = "" if pd.isna(ceiling) else f", a supervised probe {write_number(ceiling)}"
    return {
        "heading": pick.heading,
        "trait": pick.trait,
        "page": file,
        "text": f"AP: {', '.join(found)}; chance {write_number(page.chance)}{probe}.",
        "method": pick.methods[0],
        "images": [_to_json(image) for image in images[:N_IMAGES]],
    }


def _to_json(image: StripImage) -> dict[str, Any]:
    overlay = image.overlay and image.overlay._asdict()
    thumbnail = image.thumbnail._asdict()
    return image._asdict() | {"thumbnail": thumbnail, "overlay": overlay}
