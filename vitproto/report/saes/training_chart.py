"""The training curves of autoencoders."""

import textwrap
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from vitproto.report.shared.drawing import (
    TEXT_POINTS,
    draw_nothing,
    tidy,
    write_around,
)
from vitproto.report.shared.plain_log import write_plainly
from vitproto.report.shared.runs import FAMILY

ROW_INCHES = 1.15
"""Minimal height of a row of panels."""
ENTRY_INCHES = 0.125
"""Height of a line of the legend."""
COLUMN_INCHES = 2.5
DASHES = ["-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5))]
"""Dashes of the learning rates; the fifth looks like the first."""


SMOOTHED_SHARE = 0.05
"""The share of the steps of a log that a point of a line averages."""
PALE = 0.25
"""The opacity of the steps behind the lines."""


class Curve(NamedTuple):
    """The measure that a column of the chart shows."""

    column: str
    title: str
    is_log: bool


CURVES = [
    Curve("loss", "loss", True),
    Curve("mse", "MSE", True),
    Curve("l0", "L0: active latents", True),
    Curve("share_dead", "dead latents (share)", False),
]


def draw_curves(training: pd.DataFrame) -> Figure:
    """Draw loss, error, sparsity and dead latents against the patches seen.

    There is a row of panels for each family, and a line for each autoencoder: colour
    shows the sparsity, dashes the learning rate, width the number of latents. Seeds
    look alike. Lines are running means; behind them, pale, are the steps themselves,
    which jump where each draws its own prefixes (Matryoshka).

    Args:
        training: the rows of `read_training`.
    """
    if training.empty:
        return draw_nothing("No autoencoder of this study is trained.")
    training = training.assign(share_dead=training["n_dead"] / training["n_prototypes"])
    families = list(training.groupby(FAMILY))
    looks = [_looks(lines) for _, lines in families]
    heights = [max(ROW_INCHES, ENTRY_INCHES * _count_entries(look)) for look in looks]
    figure = Figure(
        figsize=(COLUMN_INCHES * (len(CURVES) + 0.75), sum(heights) + 1.0),
        layout="constrained",
    )
    axes = figure.subplots(
        len(families),
        len(CURVES) + 1,
        sharex="col",
        squeeze=False,
        width_ratios=[1] * len(CURVES) + [0.65],
        height_ratios=heights,
    )
    for row, (key, lines), look in zip(axes, families, looks, strict=True):
        for axis, curve in zip(row, CURVES, strict=False):
            _draw_panel(axis, lines, curve, look)
            axis.tick_params(labelbottom=axis.get_subplotspec().is_last_row())
        encoder, layer, method = key
        place = textwrap.fill(f"{encoder}, layer {layer}", 28)
        _draw_legend(row[-1], f"{method}\n{place}", look)
    for axis, curve in zip(axes[0], CURVES, strict=False):
        axis.set_title(curve.title, fontsize=TEXT_POINTS)
    below = (
        f"patches seen (lines: running means over {SMOOTHED_SHARE:.0%} of the steps; "
        "pale: the steps)"
    )
    write_around(figure, "Training of the autoencoders", below, "")
    return figure


def smooth(values: pd.Series) -> pd.Series:
    """The running mean over `SMOOTHED_SHARE` of the values, fewer at the ends."""
    # An odd number has a middle.
    n = 2 * int(SMOOTHED_SHARE * len(values) / 2) + 1
    return values.rolling(n, center=True, min_periods=1).mean()


class _Looks(NamedTuple):
    """The look of each value of the settings of a family."""

    color: dict[float, object]
    dashes: dict[float, object]
    width: dict[int, float]


def _looks(lines: pd.DataFrame) -> _Looks:
    sparsities = sorted(lines["run_sparsity"].dropna().unique())
    rates = sorted(lines["run_learning_rate"].dropna().unique())
    sizes = sorted(lines["n_prototypes"].unique())
    # The yellow end of viridis is too pale on paper.
    colors = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.8, len(sparsities)))
    return _Looks(
        color=dict(zip(sparsities, colors, strict=True)),
        dashes={rate: DASHES[i % len(DASHES)] for i, rate in enumerate(rates)},
        width=dict(zip(sizes, np.linspace(0.8, 2.2, len(sizes)), strict=True)),
    )


def _draw_panel(axis: Axes, lines: pd.DataFrame, curve: Curve, looks: _Looks) -> None:
    for _, line in lines.groupby("run", sort=False):
        first = line.iloc[0]
        color = looks.color.get(first["run_sparsity"], "0")
        axis.plot(
            line["n_patches"],
            line[curve.column],
            color=color,
            linewidth=0.6,
            alpha=PALE,
        )
        axis.plot(
            line["n_patches"],
            smooth(line[curve.column]),
            color=color,
            linestyle=looks.dashes.get(first["run_learning_rate"], "-"),
            linewidth=looks.width[first["n_prototypes"]],
        )
    if curve.is_log and (lines[curve.column] > 0).any():
        axis.set_yscale("log")
        write_plainly(axis.yaxis)
    if curve.column == "share_dead":
        axis.set_ylim(-0.03, 1.03)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    tidy(axis, "both")
    axis.tick_params(labelsize=TEXT_POINTS - 1, which="both")


def _list_entries(looks: _Looks) -> list[tuple[Line2D, str]]:
    """The entries of the legend: the settings that differ, and the looks of values."""
    blank = Line2D([], [], linestyle="none")
    entries = [(blank, "sparsity")]
    entries += [
        (Line2D([], [], color=color), f"{value:.6g}")
        for value, color in looks.color.items()
    ]
    if len(looks.dashes) > 1:
        entries.append((blank, "learning rate"))
        entries += [
            (Line2D([], [], color="0", linestyle=dashes), f"{value:.6g}")
            for value, dashes in looks.dashes.items()
        ]
    if len(looks.width) > 1:
        entries.append((blank, "latents"))
        entries += [
            (Line2D([], [], color="0", linewidth=width), str(value))
            for value, width in looks.width.items()
        ]
    return entries


def _count_entries(looks: _Looks) -> int:
    """Count the lines of the legend, with its title and margins."""
    return len(_list_entries(looks)) + 4


def _draw_legend(axis: Axes, title: str, looks: _Looks) -> None:
    """Name the family of a row, and explain the looks of its lines."""
    axis.set_axis_off()
    axis.legend(
        *zip(*_list_entries(looks), strict=True),
        title=title,
        title_fontsize=TEXT_POINTS,
        alignment="left",
        loc="center left",
        bbox_to_anchor=(-0.2, 0.5),
        frameon=False,
        fontsize=TEXT_POINTS - 1,
        handlelength=2.6,
        labelspacing=0.3,
    )
