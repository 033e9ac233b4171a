"""The segmentation study as one page that opens offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vitproto.report.segmentation.probe_markdown import MEANINGS, describe_probes
from vitproto.report.segmentation.suppression_links import PictureLink
from vitproto.report.segmentation.suppression_markdown import show_classes, show_summary
from vitproto.report.segmentation.suppression_rows import Suppression
from vitproto.report.segmentation.suppression_table import summarise
from vitproto.report.segmentation.suppression_text import (
    HEADING,
    describe_dose,
    explain_columns,
    explain_intervals,
    write_headline,
    write_unjudged,
)
from vitproto.report.shared.markdown import TextTable
from vitproto.report.shared.page import inline, read_template

TEMPLATE = Path(__file__).with_name("suppression_page.html.jinja")


class Probes(NamedTuple):
    """What the page says about the linear probes."""

    sweep: pd.DataFrame
    """What `read_probes` gives."""
    classes: pd.DataFrame
    """What `read_baseline` gives."""


class Charts(NamedTuple):
    """The drawings that become part of the page, as SVG documents."""

    doses: str
    classes: str


class _ShownSae(NamedTuple):
    name: str
    table: TextTable
    pictures: list[PictureLink]


def render_page(
    dataset: str,
    found: Suppression,
    dose: float,
    probes: Probes,
    charts: Charts,
    pictures: Sequence[PictureLink],
) -> str:
    """What does a reader see in the browser?

    Args:
        dataset: what the configuration calls it.
        found: what `read_suppression` gives.
        dose: the one that the tables show.
        probes: of the same data set.
        charts: of the same suppression.
        pictures: those to show.

    Returns:
        HTML that loads nothing but the pictures beside it.
    """
    summary = summarise(found)
    saes = [
        _ShownSae(
            sae,
            show_classes(found, sae, dose),
            [one for one in pictures if one.place == place],
        )
        for sae, place in found.places.items()
    ]
    return read_template(TEMPLATE).render(
        dataset=dataset,
        heading=HEADING,
        headline=write_headline(found, summary, dose),
        main_dose=describe_dose(dose),
        doses=inline(charts.doses, "doses"),
        classes=inline(charts.classes, "classes"),
        summary=show_summary(summary, dose),
        intervals=explain_intervals(),
        unjudged=[write_unjudged(found, sae, dose) for sae in found.saes],
        saes=saes,
        meanings=explain_columns(dose),
        probes=describe_probes(probes.sweep, probes.classes),
        probe_meanings=MEANINGS,
    )
