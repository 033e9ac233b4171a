"""The list of all traits, with a link to the page of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitproto.pages.tables import sortable
from vitproto.pages.templates import read_template
from vitproto.pictures.strip import Thumbnail
from vitproto.report.shared.wording import write_count, write_number, write_share
from vitproto.report.traits.pages.finders import Finder
from vitproto.report.traits.pages.trait_facts import Counted

TEMPLATE = Path(__file__).with_name("index_page.html.jinja")

HEADING = "Which traits do prototypes find?"


class TraitRow(NamedTuple):
    """A trait in the list."""

    trait: str
    page: str
    """The name of its page."""
    test: Counted
    chance: float
    ap: Sequence[float]
    """The test AP of each method, mean over seeds; NaN where no test image shows it."""
    ceiling: float
    thumbnails: Sequence[Thumbnail]
    """The images that the method with the highest AP scores highest."""


def render_index(
    rows: Sequence[TraitRow],
    finders: Sequence[Finder],
    dataset: str,
    place: str,
    controls: Sequence[str],
) -> str:
    """Write the list of traits as a page that loads the thumbnails beside it.

    Args:
        rows: the traits, in the order of the data set.
        finders: the methods, in the order of `TraitRow.ap`.
        dataset: the data set.
        place: the layer, in words.
        controls: the methods that train nothing.
    """
    return read_template(TEMPLATE).render(
        heading=HEADING,
        dataset=dataset,
        place=place,
        finders=finders,
        controls=controls,
        rows=rows,
        best=[find_best(row.ap) for row in rows],
        n_train=write_count(finders[0].n_train, "training image"),
        write_number=write_number,
        write_share=write_share,
        script=sortable("traits"),
    )


def find_best(ap: Sequence[float]) -> int | None:
    """The index of the method with the highest AP, the first of equals, if any."""
    return None if np.isnan(ap).all() else int(np.nanargmax(ap))
