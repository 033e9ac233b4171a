"""The page of a segmentation study, which opens offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vitproto.pages.templates import inline, read_template
from vitproto.report.segmentation.probe_markdown import MEANINGS, describe_probes
from vitproto.report.segmentation.suppression_answers import HEADING, write_answers
from vitproto.report.segmentation.suppression_explanations import (
    describe_dose,
    explain_controls,
    explain_intervals,
    explain_suppression_columns,
    write_unjudged,
)
from vitproto.report.segmentation.suppression_links import PictureLink
from vitproto.report.segmentation.suppression_markdown import (
    COMPARISON_HEADING,
    HALF_HEADING,
    SUMMARY_HEADING,
    show_classes,
    show_comparison,
    show_half,
    show_summary,
)
from vitproto.report.segmentation.suppression_rows import Suppression
from vitproto.report.shared.markdown import TextTable

TEMPLATE = Path(__file__).with_name("suppression_page.html.jinja")


class Probes(NamedTuple):
    """Measures of the linear probes."""

    sweep: pd.DataFrame
    """The rows of `read_probes`."""
    classes: pd.DataFrame
    """The rows of `read_baseline`."""


class Charts(NamedTuple):
    """The charts of the page, as SVG documents."""

    curves: str
    classes: str


class _ShownSae(NamedTuple):
    name: str
    table: TextTable
    pictures: list[PictureLink]


def render_suppression_page(
    dataset: str,
    suppression: Suppression,
    dose: float,
    probes: Probes,
    charts: Charts,
    pictures: Sequence[PictureLink],
) -> str:
    """Write the page of a segmentation study.

    Args:
        dataset: the name of the data set in the configuration.
        suppression: the results of `read_suppression`.
        dose: the dose that tables of classes show.
        probes: the probes of the same data set.
        charts: the charts of the same results.
        pictures: the pictures to show.

    Returns:
        HTML that loads nothing but the pictures beside it.
    """
    saes = [
        _ShownSae(
            sae,
            show_classes(suppression, sae, dose),
            [picture for picture in pictures if picture.place == place],
        )
        for sae, place in suppression.places.items()
    ]
    return read_template(TEMPLATE).render(
        dataset=dataset,
        heading=HEADING,
        headline=write_answers(suppression),
        main_dose=describe_dose(dose),
        curves=inline(charts.curves, "curves"),
        classes=inline(charts.classes, "classes"),
        tables={
            COMPARISON_HEADING: show_comparison(suppression.comparison),
            SUMMARY_HEADING: show_summary(suppression),
            HALF_HEADING: show_half(suppression),
        },
        notes=[explain_controls(), explain_intervals()],
        unjudged=[write_unjudged(suppression, sae, dose) for sae in suppression.saes],
        saes=saes,
        meanings=explain_suppression_columns(dose),
        probes=describe_probes(probes.sweep, probes.classes),
        probe_meanings=MEANINGS,
    )
