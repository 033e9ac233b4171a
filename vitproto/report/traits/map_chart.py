"""The main chart: mAP against the number of training images."""

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    WHISKERS,
    draw_means,
    label_lines,
    make_panels,
    name_with_marker,
    tidy,
    write_around,
)
from vitproto.report.shared.method_styles import MARKERS, Style
from vitproto.report.shared.runs import FAMILY
from vitproto.report.shared.wording import write_count
from vitproto.report.traits.ap_table import PLACE

PANEL_INCHES = (3.6, 2.75)


class _Form(NamedTuple):
    """The contents and looks of the panels."""

    panel: list[str]
    """Columns that differ between panels."""
    line: str
    """Column that differs between lines."""
    styles: dict[Any, dict]
    """The look of each line, the same in all panels."""
    labels: dict[Any, str]
    """The label at the end of each line."""
    heading: str
    """Text above these labels."""


def draw_chart(table: pd.DataFrame, styles: Mapping[str, Style]) -> Figure:
    """Draw mAP against the number of images that prototypes are chosen on.

    There is a panel for each encoder, layer and number of prototypes with two or more
    methods, all with the same axes. Each method is a line, with its own colour and
    marker, named at its end. If no two methods can be compared, there is a panel for
    each encoder, layer and method, with a line for each number of prototypes, which
    differ in lightness and marker. Whiskers are intervals over test images and seeds;
    the dashed line is chance. Of several settings of a method, only the one chosen on
    training images is drawn.

    Args:
        table: the rows of `tabulate_configurations`.
        styles: the look of each method.
    """
    dataset, n_settings = table["dataset"].iloc[0], table["n_settings"].max()
    table = table[table["is_chosen"]]
    is_compared = table.groupby(PLACE)["method"].transform("nunique") > 1
    n_left_out = table[~is_compared].groupby(PLACE).ngroups if is_compared.any() else 0
    if is_compared.any():
        table = table[is_compared]
        form = _compare_methods(table, styles)
    else:
        form = _show_sizes(table)
    panels = list(table.groupby(form.panel))
    figure, axes = make_panels(len(panels), _count_columns(table, form), PANEL_INCHES)
    _set_limits(axes[0], table)
    for axis, (key, rows) in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, form)
        place = dict(zip(form.panel, key, strict=True))
        axis.set_title(_title(place), fontsize=TEXT_POINTS, loc="left")
    title = f"{dataset}: mAP against the number of training images"
    below = "training images that prototypes are chosen on"
    if table["map_high"].notna().any():
        below += f" ({WHISKERS})"
    if n_settings > 1:
        below += (
            "\nOf several settings of a method, the one with the highest AP on "
            "training images is drawn."
        )
    if n_left_out > 0:
        left_out = write_count(n_left_out, "panel")
        below += f"\nLeft out: {left_out} with a single method."
    write_around(figure, title, below, "mAP on the test images")
    # The distance between labels depends on the finished layout.
    figure.draw_without_rendering()
    for axis, (_, rows) in zip(axes, panels, strict=True):
        _label_panel(axis, rows, form)
    return figure


def _compare_methods(table: pd.DataFrame, styles: Mapping[str, Style]) -> _Form:
    own = {name: styles[name] for name in sorted(table["method"].unique())}
    labels = {name: name_with_marker(name, style) for name, style in own.items()}
    return _Form(PLACE, "method", own, labels, "")


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
    """Count columns: one for each last part of the key, if all places have it."""
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
    highest = table["map_high"].fillna(table["map"]).max()
    axis.set_ylim(0, 1.08 * max(highest, table["chance"].max()))


def _draw_panel(axis: Axes, rows: pd.DataFrame, form: _Form) -> None:
    axis.axhline(rows["chance"].iloc[0], color=GREY, linestyle="--", linewidth=1)
    for name, line in rows.groupby(form.line):
        style = form.styles[name]
        draw_means(
            axis, line["n_train"], line["map"], line["map_high"] - line["map"], style
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
    """Labels of ticks; those that would touch their neighbour are one line lower."""
    labels: list[str] = []
    for i, n in enumerate(n_train):
        close = i > 0 and n < 1.7 * n_train[i - 1]
        down = close and not labels[-1].startswith("\n")
        labels.append(f"\n{n}" if down else str(n))
    return labels


def _title(key: dict[str, Any]) -> str:
    first = key.get("method") or write_count(key["n_prototypes"], "prototype")
    # Names of encoders have no blanks to break at.
    place = textwrap.fill(f"{key['encoder']}, layer {key['layer']}", 32)
    return f"{first}\n{place}"
