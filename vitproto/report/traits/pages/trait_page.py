"""The page of a trait: what finds it, and which images are found and missed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32
from markupsafe import Markup

from vitproto.activations.preprocessing import Preprocessing
from vitproto.core.confidence import LEVEL
from vitproto.pages.templates import inline, read_template
from vitproto.pictures.overlay import color_range, format_score, lay_over
from vitproto.pictures.strip import SCALE, Strip, StripImage, Thumbnail
from vitproto.report.shared.markdown import TextTable
from vitproto.report.shared.wording import join_names, write_count, write_number
from vitproto.report.traits.pages.curve_chart import MAX_CURVES
from vitproto.report.traits.pages.finders import Finder
from vitproto.report.traits.pages.panels import Panel
from vitproto.report.traits.pages.picks import Examples
from vitproto.report.traits.pages.trait_facts import Counted

N_CLASSES = 3
"""Classes that a panel names."""

TEMPLATE = Path(__file__).with_name("trait_page.html.jinja")


class ImageNames(NamedTuple):
    """What captions say about the images of a data set."""

    image_ids: list[str]
    class_names: list[str]

    def of(self, chosen_N: np.ndarray) -> list[str]:
        """The classes of some images."""
        return [self.class_names[i] for i in np.flatnonzero(chosen_N)]


class TraitLink(NamedTuple):
    """A link to the page of another trait."""

    trait: str
    page: str


class ShownPanel(NamedTuple):
    """A method's prototype with its strips."""

    finder: Finder
    prototype: int
    facts: str
    classes: str
    """Which classes score highest; empty if images have no classes."""
    same: list[TraitLink]
    """The other traits that the same prototype was chosen for."""
    strips: list[Strip]
    low: str
    """The score at the dark end of the heat-maps."""
    high: str


class Gallery(NamedTuple):
    """What images of pages are made of."""

    names: ImageNames
    thumbnails: Mapping[int, Thumbnail]
    """By the index of the image."""
    preprocessing: Preprocessing


def show_panel(
    panel: Panel,
    finder: Finder,
    trait: str,
    shows_N: np.ndarray,
    scores_MP: Float32[np.ndarray, "m p"],
    counted: Counted,
    ranked_N: np.ndarray,
    same: list[TraitLink],
    gallery: Gallery,
) -> ShownPanel:
    """Prepare the strips of a panel.

    Args:
        panel: the prototype and its images.
        finder: its method.
        trait: the name of the trait.
        shows_N: which images show it.
        scores_MP: the scores of the patches of `panel.picks.images`.
        counted: the test images.
        ranked_N: the test images of which it is known.
        same: the other traits that the prototype was chosen for.
        gallery: thumbnails and names.
    """
    low, high = color_range(scores_MP)
    rows = dict(zip(panel.picks.images, scores_MP, strict=True))
    scores_N = finder.scores_NT[:, panel.t]

    def show(i_image: int) -> StripImage:
        thumbnail = gallery.thumbnails[i_image]
        return StripImage(
            gallery.names.image_ids[i_image],
            gallery.names.class_names[i_image],
            thumbnail,
            bool(shows_N[i_image]),
            format_score(float(scores_N[i_image])),
            lay_over(
                rows[i_image], gallery.preprocessing, thumbnail.image_size, low, high
            ),
        )

    picks = panel.picks
    strips = [
        Strip("Highest scores", [*map(show, picks.highest)]),
        Strip("Highest scores without the trait", [*map(show, picks.mistaken)]),
        Strip("Lowest scores with the trait", [*map(show, picks.missed)]),
    ]
    return ShownPanel(
        finder,
        panel.prototype,
        describe_panel(panel, finder, trait, shows_N, counted),
        describe_classes(
            scores_N[ranked_N], shows_N[ranked_N], gallery.names.of(ranked_N)
        ),
        same,
        [strip for strip in strips if strip.images],
        format_score(low),
        format_score(high),
    )


def describe_panel(
    panel: Panel, finder: Finder, trait: str, shows_N: np.ndarray, counted: Counted
) -> str:
    """Sentences: how well the prototype finds the trait, and how many it shows."""
    chosen = finder.chosen.loc[trait]
    n_shown = len(panel.picks.highest)
    n_right = int(shows_N[panel.picks.highest].sum())
    by_chance = n_shown * counted.share
    return (
        f"AP {write_number(chosen['test_ap'])} on the test images, "
        f"{write_number(chosen['train_ap'])} on the training images that chose it from "
        f"{write_count(finder.n_prototypes, 'prototype')} of {finder.fit.name}. "
        f"{n_right} of the {n_shown} test images with the highest scores show the "
        f"trait; of {n_shown} drawn at random, {write_number(by_chance, 1)} would."
    )


def describe_classes(
    scores_M: np.ndarray, shows_M: np.ndarray, class_names: Sequence[str]
) -> str:
    """A sentence: the classes whose test images have the highest mean score.

    Empty if there is only one class.
    """
    images = pd.DataFrame({"score": scores_M, "shows": shows_M, "name": class_names})
    classes = images.groupby("name").agg(
        mean=("score", "mean"), n_shows=("shows", "sum"), n=("shows", "size")
    )
    if len(classes) < 2:
        return ""
    order = classes.reset_index().sort_values(["mean", "name"], ascending=[False, True])
    named = [
        f"{row.name_} ({format_score(row.mean)}; {row.n_shows} of {row.n})"
        for row in order.rename(columns={"name": "name_"}).head(N_CLASSES).itertuples()
    ]
    return (
        "Classes whose test images have the highest mean score, and how many of these "
        f"images show the trait: {join_names(named)}."
    )


def show_examples(
    examples: Examples, shows_N: np.ndarray, gallery: Gallery
) -> list[Strip]:
    """Prepare the strips of examples, which have no scores."""

    def show(i_image: int) -> StripImage:
        names = gallery.names
        return StripImage(
            names.image_ids[i_image],
            names.class_names[i_image],
            gallery.thumbnails[i_image],
            bool(shows_N[i_image]),
            "",
            None,
        )

    strips = [
        Strip("With the trait", [*map(show, examples.with_trait)]),
        Strip("Without it", [*map(show, examples.without_trait)]),
    ]
    return [strip for strip in strips if strip.images]


class Neighbours(NamedTuple):
    """The pages before and after a trait's, in the order of the data set."""

    before: str | None
    after: str | None


class TraitPage(NamedTuple):
    """What the page of a trait shows."""

    trait: str
    dataset: str
    place: str
    """The layer, in words."""
    counts: Mapping[str, Counted]
    table: TextTable
    """AP with the numbers of prototypes that are shown."""
    others: TextTable
    """AP with all other numbers of prototypes."""
    chance: float
    """NaN where no test image shows the trait."""
    chart: str | None
    """The precision–recall curves as an SVG document."""
    examples: Sequence[Strip]
    panels: Sequence[ShownPanel]
    unselected: Sequence[str]
    """The methods in which no prototype could be chosen."""
    neighbours: Neighbours
    controls: Sequence[str]


def render_trait_page(page: TraitPage) -> str:
    """Write the page of a trait, which loads the thumbnails in the same folder."""
    chart = Markup() if page.chart is None else inline(page.chart, "curves")
    return read_template(TEMPLATE).render(
        heading=page.trait,
        dataset="",
        page=page,
        chart=chart,
        chance=write_number(page.chance),
        level=LEVEL,
        scale=SCALE,
        max_curves=MAX_CURVES,
    )
