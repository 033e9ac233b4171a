"""The page of a segmentation study, which opens offline."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vitproto.pages.templates import inline, read_template
from vitproto.pictures.strip import SCALE
from vitproto.report.segmentation.probe_markdown import MEANINGS, describe_probes
from vitproto.report.segmentation.suppression_answers import HEADING, write_answers
from vitproto.report.segmentation.suppression_explanations import (
    describe_dose,
    explain_controls,
    explain_intervals,
    explain_suppression_columns,
    write_unjudged,
)
from vitproto.report.segmentation.suppression_links import ClassPictures
from vitproto.report.segmentation.suppression_markdown import (
    COMPARISON_HEADING,
    HALF_HEADING,
    SUMMARY_HEADING,
    show_classes,
    show_comparison,
    show_half,
    show_summary,
)
from vitproto.report.segmentation.suppression_rows import OWN, Suppression
from vitproto.report.shared.markdown import TextTable
from vitproto.report.shared.wording import write_share
from vitproto.segmentation.suppression.terms import HALF

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


class _Dose(NamedTuple):
    i: int
    """The index of its pictures."""
    text: str
    effect: str
    """A sentence: how much IoU the class loses; empty if it is not measured."""


class _ShownClass(NamedTuple):
    pictures: ClassPictures
    doses: list[_Dose]
    """The weakest first."""
    first: int
    """The index in `doses` of the one that is shown first."""


class _ShownSae(NamedTuple):
    name: str
    table: TextTable
    classes: list[_ShownClass]


def render_suppression_page(
    dataset: str,
    suppression: Suppression,
    dose: float,
    probes: Probes,
    charts: Charts,
    pictures: Sequence[ClassPictures],
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
        HTML that loads nothing but pictures below its folder.
    """
    saes = [
        _ShownSae(
            sae,
            show_classes(suppression, sae, dose),
            [
                _show_class(suppression, sae, shown, dose)
                for shown in pictures
                if shown.place == place
            ],
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
        scale=SCALE,
    )


def _show_class(
    suppression: Suppression, sae: str, shown: ClassPictures, dose: float
) -> _ShownClass:
    """Order the doses of a class, and choose the one to show first.

    It is the weakest by which the class has lost half of its IoU: stronger ones often
    leave a single colour. If there is none, it is that of the tables.
    """
    rows = suppression.rows
    own = rows[
        (rows["sae"] == sae) & (rows["edit"] == OWN) & (rows["label"] == shown.label)
    ]
    losses = own.drop_duplicates("dose").set_index("dose")["loss"]
    order = sorted(range(len(shown.doses)), key=lambda i: -shown.doses[i])
    doses = []
    for i in order:
        loss = float(losses.get(shown.doses[i], float("nan")))
        doses.append(_Dose(i, describe_dose(shown.doses[i]), _describe_loss(loss)))
    half = [n for n, i in enumerate(order) if losses.get(shown.doses[i], 0) >= HALF]
    main = [n for n, i in enumerate(order) if shown.doses[i] == dose]
    return _ShownClass(shown, doses, [*half, *main, 0][0])


def _describe_loss(loss: float) -> str:
    if math.isnan(loss):
        return ""
    share = write_share(abs(loss))
    verb = "gains" if loss < 0 and float(share) else "loses"
    return f"The class {verb} {share} % of its IoU on all validation images."
