"""A page that shows prototypes, and opens offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path

import numpy as np

from vitproto.features.choice import Choice, Reason
from vitproto.features.feature import Feature, ShownImage
from vitproto.features.shown import Gallery, ShownImages, write_gallery
from vitproto.features.top_images import TopImages
from vitproto.pages.templates import read_template
from vitproto.pictures.overlay import color_range, format_score, lay_over
from vitproto.pictures.strip import SCALE, Strip, StripImage
from vitproto.study.family import FittedFamily

TEMPLATE = Path(__file__).with_name("features_page.html.jinja")

HEADING = "What do the prototypes respond to?"

REASONS: Mapping[Reason, str] = {
    "in_range": "in both ranges",
    "listed": "listed",
    "sampled": "drawn from all that are alive",
}


@dataclass(frozen=True)
class Place:
    """The source of the prototypes: columns of the study's tables."""

    dataset: str
    """The data set whose images are shown."""
    encoder: str
    """The encoder that recorded the activations."""
    layer: int
    """The encoder's block, counted from 0."""
    method: str
    """The method that made the prototypes."""
    run: str
    """The method's run, such as k128-seed0."""
    fit_dataset: str
    """The data set that the prototypes were fitted to."""

    @property
    def family(self) -> FittedFamily:
        """The family of the run."""
        return FittedFamily(self.fit_dataset, self.encoder, self.layer, self.method)


N_CLASSES = 10
"""Classes that the page shows of a prototype; `features.json` holds all."""


def write_page(
    folder: Path,
    features: Sequence[Feature],
    class_names: Mapping[str, str],
    source: ShownImages,
    home: str,
    place: Place,
    cfg: Choice,
    top: TopImages,
    n_in_range: int,
) -> None:
    """Write the page, `index.html`, and the thumbnails that it loads, into a folder.

    Args:
        folder: an existing folder.
        class_names: the class of each image, by its id; none if images have none.
        source: where the images come from.
        features, home, place, cfg, top, n_in_range: as in `render_page`.
    """
    gallery = write_gallery(features, class_names, source, folder)
    page = render_page(features, gallery, home, place, cfg, top, n_in_range)
    (folder / "index.html").write_text(page, encoding="utf-8")


def render_page(
    features: Sequence[Feature],
    gallery: Gallery,
    home: str,
    place: Place,
    cfg: Choice,
    top: TopImages,
    n_in_range: int,
) -> str:
    """Render the page.

    Args:
        features: the prototypes to show, in order.
        gallery: thumbnails and classes of their images.
        home: the address of the study's page.
        place: the source of the prototypes.
        cfg: how they were chosen.
        top: the best images of all prototypes.
        n_in_range: number of prototypes in both ranges, shown or not.

    Returns:
        HTML that loads only the thumbnails in the same folder.
    """
    return read_template(TEMPLATE).render(
        heading=HEADING,
        dataset=place.dataset,
        place=place,
        home=home,
        features=[(feature, show_strips(feature, gallery)) for feature in features],
        n_classes=N_CLASSES,
        scale=SCALE,
        reasons=REASONS,
        drives=describe_drive,
        format_score=format_score,
        n_prototypes=len(top.lowest_K),
        n_alive=int(top.is_alive_K.sum()),
        in_range=describe_ranges(cfg, top, n_in_range) if cfg.n_in_range else "",
        n_images=len(top.score_RK),
    )


def show_strips(feature: Feature, gallery: Gallery) -> list[Strip]:
    """Prepare the images with the highest and with the lowest scores of a prototype."""
    strips = []
    if feature.images:
        low, high = color_range(_scores_of(feature.images))
        heading = f"Highest scores; heat-maps go from {_ends(low, high)}"
        strips.append(_show_strip(heading, feature.images, low, high, gallery))
    if feature.lowest:
        lowest = float(_scores_of(feature.lowest).min())
        heading = f"Lowest scores; heat-maps go from {_ends(0.0, lowest)}"
        strips.append(_show_strip(heading, feature.lowest, 0.0, lowest, gallery))
    return strips


def _scores_of(images: Sequence[ShownImage]) -> np.ndarray:
    return np.array(
        [np.ravel(image.patch_scores) for image in images], dtype=np.float32
    )


def _show_strip(
    heading: str,
    images: Sequence[ShownImage],
    low: float,
    high: float,
    gallery: Gallery,
) -> Strip:
    shown = []
    for image, scores_P in zip(images, _scores_of(images), strict=True):
        thumbnail = gallery.thumbnails[image.image_id]
        size = thumbnail.image_size
        shown.append(
            StripImage(
                image.image_id,
                gallery.class_names.get(image.image_id, ""),
                thumbnail,
                None,
                format_score(image.score),
                lay_over(scores_P, gallery.preprocessing, size, low, high),
            )
        )
    return Strip(heading, shown)


def describe_drive(feature: Feature) -> str:
    """A sentence: how often and how strongly patches drive a prototype."""
    if feature.mean_value is None:
        return "No patch scores above 0"
    return (
        f"{100 * feature.frequency:.3g} % of patches score above 0 (log10 "
        f"{_log(feature.frequency)}), on average {format_score(feature.mean_value)} "
        f"(log10 {_log(feature.mean_value)})"
    )


def describe_ranges(cfg: Choice, top: TopImages, n_in_range: int) -> str:
    """Sentences: how many prototypes are in both ranges, and the ranges of all."""
    above_K = top.n_above_K > 0
    if not above_K.any():
        return (
            "No patch scores above 0 for any prototype, so there are no frequencies, "
            "and no prototype is in the ranges."
        )
    counted = {0: "No prototype has", 1: "1 prototype has"}
    subject = counted.get(n_in_range, f"{n_in_range:,} prototypes have")
    drawn = ""
    if n_in_range > cfg.n_in_range:
        drawn = f"; {cfg.n_in_range:,} of them were drawn"
    frequency_K, value_K = top.frequency_K[above_K], top.mean_value_K[above_K]
    return (
        f"{subject} a log10 frequency from {_range(*cfg.log_freq_range)} and a log10 "
        f"mean value from {_range(*cfg.log_value_range)}{drawn}. Over all prototypes "
        "for which some patch scores above 0, the log10 frequency goes from "
        f"{_log(frequency_K.min())} to {_log(frequency_K.max())}, the log10 mean value "
        f"from {_log(value_K.min())} to {_log(value_K.max())}."
    )


def _log(value: float) -> str:
    rounded = round(log10(value), 2) + 0.0  # never -0.00
    return f"{rounded:.2f}".replace("-", "−")


def _ends(low: float, high: float) -> str:
    return f"{format_score(low)} to {format_score(high)}"


def _range(low: float, high: float) -> str:
    return f"{low:g} to {high:g}".replace("-", "−")
