"""The training curves of autoencoders."""

from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from vitproto.report.plain_log import write_plainly

ROW_INCHES = 2.3
COLUMN_INCHES = 2.5
TEXT_POINTS = 8
DASHES = ["-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5))]
"""Of the learning rates; a fifth looks like the first."""


class Curve(NamedTuple):
    """What a column of the chart shows."""

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
    """How did loss, error, sparsity and dead latents change while training went on?

    A row of panels for each family. A line for each autoencoder: colour tells the
    sparsity, dashes the learning rate, width the number of latents. Seeds look alike.

    Args:
        training: what `read_training` gives.
    """
    training = training.assign(share_dead=training["n_dead"] / training["n_prototypes"])
    families = list(training.groupby("family"))
    n_rows = max(1, len(families))
    figure = Figure(
        figsize=(COLUMN_INCHES * (len(CURVES) + 0.7), ROW_INCHES * n_rows + 0.9),
        layout="constrained",
    )
    axes = figure.subplots(
        n_rows,
        len(CURVES) + 1,
        squeeze=False,
        gridspec_kw={"width_ratios": [1] * len(CURVES) + [0.55]},
    )
    for row, (family, lines) in zip(axes, families, strict=False):
        looks = _looks(lines)
        for axis, curve in zip(row, CURVES, strict=False):
            _draw_panel(axis, lines, curve, looks)
        row[0].annotate(
            family,
            (0, 1),
            xytext=(-20, 22),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=TEXT_POINTS + 1,
        )
        _draw_legend(row[-1], looks)
    if not families:
        for axis in axes.flat:
            axis.set_axis_off()
        nothing = "no autoencoder of this study is trained"
        axes[0, 0].set_title(nothing, fontsize=TEXT_POINTS + 1, loc="left")
    figure.suptitle("How the autoencoders learnt", fontsize=TEXT_POINTS + 2)
    figure.supxlabel("patches seen", fontsize=TEXT_POINTS + 1)
    return figure


class _Looks(NamedTuple):
    """How a value of each setting looks in one family."""

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
        axis.plot(
            line["n_patches"],
            line[curve.column],
            color=looks.color.get(first["run_sparsity"], "0"),
            linestyle=looks.dashes.get(first["run_learning_rate"], "-"),
            linewidth=looks.width[first["n_prototypes"]],
        )
    if curve.is_log and (lines[curve.column] > 0).any():
        axis.set_yscale("log")
        write_plainly(axis.yaxis)
    if curve.column == "share_dead":
        axis.set_ylim(-0.03, 1.03)
    axis.set_title(curve.title, fontsize=TEXT_POINTS)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=TEXT_POINTS - 1, which="both")


def _draw_legend(axis: Axes, looks: _Looks) -> None:
    """What the looks of a line mean, beside the panels of a family."""
    axis.set_axis_off()
    entries: list[tuple[Line2D, str]] = []
    blank = Line2D([], [], linestyle="none")
    entries.append((blank, "sparsity"))
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
    axis.legend(
        *zip(*entries, strict=True),
        loc="center left",
        bbox_to_anchor=(-0.3, 0.5),
        frameon=False,
        fontsize=TEXT_POINTS - 1,
        handlelength=2.6,
        labelspacing=0.3,
    )
