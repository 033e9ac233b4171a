"""The result as one page that opens offline: headline, chart, table, traits."""

from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from vitproto.report.map_markdown import show_table
from vitproto.report.map_table import tabulate
from vitproto.report.map_text import (
    count_images,
    describe,
    explain_columns,
    find_best,
    write_chance_note,
    write_headline,
)
from vitproto.report.trait_table import tabulate_traits
from vitproto.report.winner_text import explain_winners, write_winner
from vitproto.report.winners import compare_methods

TEMPLATE = Path(__file__).with_name("map_page.html.jinja")


def render_page(ap: pd.DataFrame, images: pd.DataFrame, chart_svg: str) -> str:
    """What does a reader see in the browser?

    Args:
        ap: what `read_ap` gives.
        images: the image list of the same data set.
        chart_svg: the chart, as an SVG document; it becomes part of the page.

    Returns:
        HTML that loads nothing from anywhere.
    """
    table = tabulate(ap)
    best = find_best(table)
    comparisons = compare_methods(ap)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        dataset=best["dataset"],
        headline=write_headline(table),
        winners=[write_winner(comparison) for comparison in comparisons],
        winners_note=explain_winners(comparisons),
        chart=_inline(chart_svg),
        table=show_table(table),
        above_chance=table["above_chance"].tolist(),
        chance_note=write_chance_note(table),
        meanings=explain_columns(table, count_images(images, table)),
        best=describe(best),
        traits=tabulate_traits(ap, best).to_dict("records"),
    )


def _inline(svg: str) -> Markup:
    """The drawing alone: a page cannot hold the XML declaration before it."""
    begin = svg.find("<svg")
    if begin < 0:
        raise ValueError(
            "the chart is not an SVG document: give the one of plot_map.py"
        )
    return Markup(svg[begin:])
