"""The page of a trait study, which opens offline: charts, tables and traits."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from vitproto.report.saes.markdown import describe_saes, explain_sae_columns
from vitproto.report.saes.table import tabulate_settings
from vitproto.report.shared.markdown import Section
from vitproto.report.shared.page import inline, read_template
from vitproto.report.traits.encoder_table import describe_encoders, tabulate_encoders
from vitproto.report.traits.features_links import FeaturesLink
from vitproto.report.traits.group_table import describe_groups, tabulate_groups
from vitproto.report.traits.layer_table import describe_layers, tabulate_layers
from vitproto.report.traits.map_markdown import HEADING, show_maps
from vitproto.report.traits.map_table import tabulate_configurations
from vitproto.report.traits.map_text import (
    count_images,
    describe_configuration,
    explain_map_columns,
    find_best,
    write_best_map,
    write_chance_note,
)
from vitproto.report.traits.trait_table import tabulate_traits
from vitproto.report.traits.winner_text import explain_winners, write_winner
from vitproto.report.traits.winners import compare_methods

TEMPLATE = Path(__file__).with_name("map_page.html.jinja")


class Charts(NamedTuple):
    """The charts of the page, as SVG documents."""

    map: str
    layers: str
    encoders: str
    groups: str


class Autoencoders(NamedTuple):
    """The autoencoders of the page."""

    metrics: pd.DataFrame
    """The rows of `read_metrics`."""
    n_correlated: int
    """The number of latents whose correlations were measured, at most."""
    front: str
    """The chart of their front, as an SVG document."""


def render_map_page(
    ap: pd.DataFrame,
    splits: pd.DataFrame,
    charts: Charts,
    saes: Autoencoders | None,
    features: Sequence[FeaturesLink],
) -> str:
    """Write the page of a trait study.

    Args:
        ap: the rows of `read_ap`.
        splits: the splits of the same data set.
        charts: the charts of the same AP.
        saes: the autoencoders of the study, if it has any.
        features: the pages of prototypes to link to.

    Returns:
        HTML that loads nothing.
    """
    table = tabulate_configurations(ap)
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
        heading=HEADING,
        headline=write_best_map(table),
        winners=[write_winner(comparison) for comparison in comparisons],
        winners_note=explain_winners(comparisons),
        chart=inline(charts.map, "map"),
        sections=[
            (section, inline(getattr(charts, name), name))
            for name, section in sections.items()
        ],
        saes=None if saes is None else _show_saes(saes),
        features=features,
        table=show_maps(table),
        above_chance=table["above_chance"].tolist(),
        chance_note=write_chance_note(table),
        meanings=explain_map_columns(table, count_images(splits, table)),
        best=describe_configuration(best),
        traits=tabulate_traits(ap, best).to_dict("records"),
    )


class _ShownSaes(NamedTuple):
    section: Section
    front: Markup
    meanings: dict[str, str]


def _show_saes(saes: Autoencoders) -> _ShownSaes:
    table = tabulate_settings(saes.metrics)
    return _ShownSaes(
        describe_saes(table, saes.metrics),
        inline(saes.front, "autoencoders"),
        explain_sae_columns(table, saes.n_correlated),
    )
