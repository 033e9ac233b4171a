"""The headline chart: mAP against the number of training images."""

import textwrap
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import (
    COLORS,
    GREY,
    MARKERS,
    TEXT_POINTS,
    category_styles,
    label_lines,
    make_panels,
    name_with_marker,
    tidy,
    write_around,
)

PLACE = ["encoder", "layer", "n_prototypes"]
"""Where methods can be compared."""

FAMILY = ["encoder", "layer", "method"]
"""What gets a panel where there is nothing to compare."""

PANEL_INCHES = (3.6, 2.75)

DASHES = ["-", (0, (4, 1.2)), (0, (1, 0.8))]
"""Of lines whose colour is used for the first, the second and the third time."""


class _Form(NamedTuple):
    """What a panel shows, and what its lines are."""

    panel: list[str]
    line: str
    styles: dict[Any, dict]
    """How each line looks, the same in all panels."""
    labels: dict[Any, str]
    """What each line is called at its end."""
    heading: str
    """What stands above these names."""


def draw_chart(table: pd.DataFrame) -> Figure:
    """How does mAP grow with the images that prototypes are chosen on?

    A panel for each encoder, layer and number of prototypes where two methods or more
    were run, all with the same axes; a line for each method, told apart by colour and
    marker and named at its end. Where no two methods were run together, a panel for
    each encoder, layer and method, with a line for each number of prototypes, told
    apart by lightness and marker. Whiskers are the standard deviation over the seeds;
    the dashed line is chance. Of several settings of a method, only the one that was
    chosen on training images is drawn.

    Args:
        table: what `tabulate` gives.
    """
    dataset, n_settings = table["dataset"].iloc[0], table["n_settings"].max()
    table = table[table["is_chosen"]]
    is_compared = table.groupby(PLACE)["method"].transform("nunique") > 1
    n_left_out = table[~is_compared].groupby(PLACE).ngroups if is_compared.any() else 0
    if is_compared.any():
        table = table[is_compared]
        form = _compare_methods(table)
    else:
        form = _show_sizes(table)
    panels = list(table.groupby(form.panel))
    figure, axes = make_panels(len(panels), _count_columns(table, form), PANEL_INCHES)
    _set_limits(axes[0], table)
    for axis, (key, rows) in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, form)
        place = dict(zip(form.panel, key, strict=True))
        axis.set_title(_title(place), fontsize=TEXT_POINTS, loc="left")
    title = f"{dataset}: how well the prototype chosen for a trait finds it"
    below = "training images to choose on"
    if table["map_sd"].notna().any():
        below += " (whiskers: standard deviation over the seeds)"
    if n_settings > 1:
        below += (
            "\nOf several settings of a method, the one with the highest AP on "
            "training images is drawn."
        )
    if n_left_out > 0:
        s = "" if n_left_out == 1 else "s"
        below += f"\nLeft out: {n_left_out} panel{s} with a single method."
    write_around(figure, title, below, "mAP on the test images")
    # Only the finished layout says how far labels must be apart.
    figure.draw_without_rendering()
    for axis, (_, rows) in zip(axes, panels, strict=True):
        _label_panel(axis, rows, form)
    return figure


def _compare_methods(table: pd.DataFrame) -> _Form:
    styles = {
        name: {**style, "linestyle": DASHES[i // len(COLORS) % len(DASHES)]}
        for i, (name, style) in enumerate(
            category_styles(sorted(table["method"].unique())).items()
        )
    }
    labels = {name: name_with_marker(name, style) for name, style in styles.items()}
    return _Form(PLACE, "method", styles, labels, "")


def _show_sizes(table: pd.DataFrame) -> _Form:
    counts = sorted(table["n_prototypes"].unique().tolist())
    # The yellow end of viridis is too pale on paper.
    colors = matplotlib.colormaps["viridis"](np.linspace(0.72, 0.0, len(counts)))
    styles = {
        count: {"color": color, "marker": MARKERS[i % len(MARKERS)]}
        for i, (count, color) in enumerate(zip(counts, colors, strict=True))
    }
    labels = {count: str(count) for count in counts}
    return _Form(FAMILY, "n_prototypes", styles, labels, "prototypes")


def _count_columns(table: pd.DataFrame, form: _Form) -> int:
    """A column for each last part of the key, where all encoders and layers have it."""
    n_panels = table.groupby(form.panel).ngroups
    n_last = table[form.panel[-1]].nunique()
    n_places = table.groupby(form.panel[:-1]).ngroups
    is_grid = 1 < n_last <= 4 and n_panels == n_last * n_places
    return n_last if is_grid else min(3, n_panels)


def _set_limits(axis: Axes, table: pd.DataFrame) -> None:
    n_train = sorted(table["n_train"].unique().tolist())
    axis.set_xscale("log")
    axis.set_xticks(n_train, tick_labels(n_train))
    axis.set_xticks([], minor=True)
    axis.set_xlim(n_train[0] / 1.4, n_train[-1] * 1.4)
    highest = (table["map"] + table["map_sd"].fillna(0)).max()
    axis.set_ylim(0, 1.08 * max(highest, table["chance"].max()))


def _draw_panel(axis: Axes, rows: pd.DataFrame, form: _Form) -> None:
    axis.axhline(rows["chance"].iloc[0], color=GREY, linestyle="--", linewidth=1)
    for name, line in rows.groupby(form.line):
        axis.errorbar(
            line["n_train"],
            line["map"],
            yerr=line["map_sd"].fillna(0),
            markersize=4.5,
            linewidth=1.3,
            elinewidth=0.9,
            capsize=2,
            **form.styles[name],
        )
    tidy(axis, "y")
    axis.tick_params(labelleft=True)


def _label_panel(axis: Axes, rows: pd.DataFrame, form: _Form) -> None:
    labels = [(rows["chance"].iloc[0], "chance", GREY)]
    for name, line in rows.groupby(form.line):
        height = line["map"].iloc[-1]
        labels.append((height, form.labels[name], form.styles[name]["color"]))
    label_lines(axis, labels, form.heading)


def tick_labels(n_train: list[int]) -> list[str]:
    """What is written below each tick? A number one line down if it would touch."""
    labels: list[str] = []
    for i, n in enumerate(n_train):
        close = i > 0 and n < 1.7 * n_train[i - 1]
        down = close and not labels[-1].startswith("\n")
        labels.append(f"\n{n}" if down else str(n))
    return labels


def _title(key: dict[str, Any]) -> str:
    first = key.get("method") or f"{key['n_prototypes']} prototypes"
    # Names of encoders have no blanks to break at.
    place = textwrap.fill(f"{key['encoder']}, layer {key['layer']}", 32)
    return f"{first}\n{place}"
