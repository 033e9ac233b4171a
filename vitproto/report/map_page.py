"""The result as one page that opens offline: headline, chart, table, traits."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from vitproto.report.saes.markdown import describe_saes
from vitproto.report.saes.markdown import explain_columns as explain_sae_columns
from vitproto.report.saes.table import tabulate as tabulate_saes
from vitproto.report.shared.markdown import Section
from vitproto.report.shared.page import inline, read_template
from vitproto.report.traits.encoder_table import describe_encoders, tabulate_encoders
from vitproto.report.traits.features_links import FeaturesLink
from vitproto.report.traits.group_table import describe_groups, tabulate_groups
from vitproto.report.traits.layer_table import describe_layers, tabulate_layers
from vitproto.report.traits.map_markdown import show_table
from vitproto.report.traits.map_table import tabulate
from vitproto.report.traits.map_text import (
    count_images,
    describe,
    explain_columns,
    find_best,
    write_chance_note,
    write_headline,
)
from vitproto.report.traits.trait_table import tabulate_traits
from vitproto.report.traits.winner_text import explain_winners, write_winner
from vitproto.report.traits.winners import compare_methods

TEMPLATE = Path(__file__).with_name("map_page.html.jinja")


class Charts(NamedTuple):
    """The drawings that become part of the page, as SVG documents."""

    map: str
    layers: str
    encoders: str
    groups: str


class Autoencoders(NamedTuple):
    """What the page says about autoencoders."""

    metrics: pd.DataFrame
    """What `read_metrics` gives."""
    n_correlated: int
    """Latents whose correlations were measured, at most."""
    front: str
    """The drawing of their front, as an SVG document."""


def render_page(
    ap: pd.DataFrame,
    splits: pd.DataFrame,
    charts: Charts,
    saes: Autoencoders | None,
    features: Sequence[FeaturesLink],
) -> str:
    """What does a reader see in the browser?

    Args:
        ap: what `read_ap` gives.
        splits: what `read_splits` gives of the same data set.
        charts: of the same AP.
        saes: the autoencoders of the study, if it has any.
        features: the pages to link to.

    Returns:
        HTML that loads nothing from anywhere.
    """
    table = tabulate(ap)
    best = find_best(table)
    comparisons = compare_methods(ap)
    sections = {
        "layers": describe_layers(tabulate_layers(table)),
        "encoders": describe_encoders(tabulate_encoders(table)),
        "groups": describe_groups(tabulate_groups(ap)),
    }
    template = read_template(TEMPLATE)
    return template.render(
        dataset=best["dataset"],
        headline=write_headline(table),
        winners=[write_winner(comparison) for comparison in comparisons],
        winners_note=explain_winners(comparisons),
        chart=inline(charts.map, "map"),
        sections=[
            (section, inline(getattr(charts, name), name))
            for name, section in sections.items()
        ],
        saes=None if saes is None else _show_saes(saes),
        features=features,
        table=show_table(table),
        above_chance=table["above_chance"].tolist(),
        chance_note=write_chance_note(table),
        meanings=explain_columns(table, count_images(splits, table)),
        best=describe(best),
        traits=tabulate_traits(ap, best).to_dict("records"),
    )


class _ShownSaes(NamedTuple):
    section: Section
    front: Markup
    meanings: dict[str, str]


def _show_saes(saes: Autoencoders) -> _ShownSaes:
    table = tabulate_saes(saes.metrics)
    return _ShownSaes(
        describe_saes(table, saes.metrics),
        inline(saes.front, "autoencoders"),
        explain_sae_columns(table, saes.n_correlated),
    )
