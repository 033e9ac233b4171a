"""The headline chart: mAP against the number of training images."""

import textwrap

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitproto.report.drawing import (
    GREY,
    MARKERS,
    TEXT_POINTS,
    label_lines,
    make_panels,
    tidy,
    write_around,
)

PANEL = ["encoder", "layer", "method"]
"""What gets a panel of its own."""

PANEL_INCHES = (3.4, 2.9)


def draw_chart(table: pd.DataFrame) -> Figure:
    """How does mAP grow with the images that prototypes are chosen on?

    A panel for each encoder, layer and method, all with the same axes. A line for
    each number of prototypes, told apart by lightness, by marker and by the number
    at its end, so that it needs neither colours nor a legend. Whiskers are the
    standard deviation over the seeds; the dashed line is chance. Of several settings
    of a method, only the one that was chosen on training images is drawn.

    Args:
        table: what `tabulate` gives.
    """
    n_settings = table["n_settings"].max()
    table = table[table["is_chosen"]]
    panels = list(table.groupby(PANEL))
    n_methods = table["method"].nunique()
    n_places = table.groupby(["encoder", "layer"]).ngroups
    # A column for each method, where every encoder and layer has them all.
    is_grid = 1 < n_methods <= 4 and len(panels) == n_methods * n_places
    n_columns = n_methods if is_grid else min(3, len(panels))
    figure, axes = make_panels(len(panels), n_columns, PANEL_INCHES)
    _set_limits(axes[0], table)
    styles = _styles(table)
    for axis, (key, rows) in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, styles)
        axis.set_title(_title(*key), fontsize=TEXT_POINTS, loc="left")
    dataset = table["dataset"].iloc[0]
    title = f"{dataset}: how well the prototype chosen for a trait finds it"
    below = "training images to choose on"
    if table["map_sd"].notna().any():
        below += " (whiskers: standard deviation over the seeds)"
    if n_settings > 1:
        below += (
            "\nOf several settings of a method, the one with the highest AP on "
            "training images is drawn."
        )
    write_around(figure, title, below, "mAP on the test images")
    return figure


def _styles(table: pd.DataFrame) -> dict[int, dict]:
    """Colour and marker of each number of prototypes, the same in all panels."""
    counts = sorted(table["n_prototypes"].unique().tolist())
    # The yellow end of viridis is too pale on paper.
    colors = matplotlib.colormaps["viridis"](np.linspace(0.72, 0.0, len(counts)))
    return {
        count: {"color": color, "marker": MARKERS[i % len(MARKERS)]}
        for i, (count, color) in enumerate(zip(counts, colors, strict=True))
    }


def _set_limits(axis: Axes, table: pd.DataFrame) -> None:
    n_train = sorted(table["n_train"].unique().tolist())
    axis.set_xscale("log")
    axis.set_xticks(n_train, tick_labels(n_train))
    axis.set_xticks([], minor=True)
    axis.set_xlim(n_train[0] / 1.4, n_train[-1] * 1.4)
    highest = (table["map"] + table["map_sd"].fillna(0)).max()
    axis.set_ylim(0, 1.08 * max(highest, table["chance"].max()))


def _draw_panel(axis: Axes, rows: pd.DataFrame, styles: dict[int, dict]) -> None:
    chance = rows["chance"].iloc[0]
    axis.axhline(chance, color=GREY, linestyle="--", linewidth=1)
    labels = [(chance, "chance", GREY)]
    for n_prototypes, line in rows.groupby("n_prototypes"):
        axis.errorbar(
            line["n_train"],
            line["map"],
            yerr=line["map_sd"].fillna(0),
            markersize=4.5,
            linewidth=1.3,
            elinewidth=0.9,
            capsize=2,
            **styles[n_prototypes],
        )
        label = (line["map"].iloc[-1], str(n_prototypes), styles[n_prototypes]["color"])
        labels.append(label)
    label_lines(axis, labels, "prototypes")
    tidy(axis, "y")
    axis.tick_params(labelleft=True)


def tick_labels(n_train: list[int]) -> list[str]:
    """What is written below each tick? A number one line down if it would touch."""
    labels: list[str] = []
    for i, n in enumerate(n_train):
        close = i > 0 and n < 1.7 * n_train[i - 1]
        down = close and not labels[-1].startswith("\n")
        labels.append(f"\n{n}" if down else str(n))
    return labels


def _title(encoder: str, layer: int, method: str) -> str:
    # Names of encoders have no blanks to break at.
    return f"{method}\n{textwrap.fill(f'{encoder}, layer {layer}', 44)}"
