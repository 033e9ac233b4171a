"""The chart of a sweep: reconstruction error against sparsity."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vitproto.report.saes.front import on_front
from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    make_panels,
    tidy,
    write_around,
)
from vitproto.report.shared.method_styles import Style
from vitproto.report.shared.plain_log import write_plainly
from vitproto.report.shared.wording import write_count

PANEL = ["encoder", "layer", "n_prototypes"]
"""Columns that differ between panels: within one, comparison is fair."""

PANEL_INCHES = (3.3, 2.8)
LEGEND_INCHES = 0.8
A_CONSTANT = 1.0
"""NMSE of a constant."""


def draw_front(metrics: pd.DataFrame, styles: Mapping[str, Style]) -> Figure:
    """Draw the NMSE of autoencoders against their number of active latents.

    There is a panel for each encoder, layer and number of latents, and in it a point
    for each autoencoder. Methods differ in marker and colour. The lines are the Pareto
    fronts of each method: no other autoencoder of the method in the panel is at least
    as good as one on it in both measures and better in one.

    Args:
        metrics: the rows of `read_metrics`.
        styles: the look of each method.
    """
    panels = list(metrics.groupby(PANEL))
    n_sizes = metrics["n_prototypes"].nunique()
    n_places = metrics.groupby(["encoder", "layer"]).ngroups
    # A column for each number of latents, if every encoder and layer has them all.
    is_grid = 1 < n_sizes <= 4 and len(panels) == n_sizes * n_places
    n_columns = n_sizes if is_grid else min(3, len(panels))
    figure, axes = make_panels(len(panels), n_columns, PANEL_INCHES)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + LEGEND_INCHES, height)
    _set_scales(axes[0], metrics)
    styles = _as_points(styles, metrics)
    for axis, (key, rows) in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, styles)
        encoder, layer, n_prototypes = key
        title = f"{write_count(n_prototypes, 'latent')}\n{encoder}, layer {layer}"
        axis.set_title(title, fontsize=TEXT_POINTS, loc="left")
    handles, labels = _legend(styles)
    figure.legend(
        handles,
        labels,
        loc="outside right center",
        frameon=False,
        fontsize=TEXT_POINTS,
    )
    title = "Reconstruction error of autoencoders against sparsity"
    below = "L0: latents active on a held-out patch"
    write_around(figure, title, below, "NMSE on held-out patches")
    return figure


def _as_points(
    styles: Mapping[str, Style], metrics: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """The marker and colour of each method that was measured."""
    return {
        method: {
            "marker": styles[method]["marker"],
            "markerfacecolor": styles[method]["color"],
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
            "markersize": 6,
            "linestyle": "none",
        }
        for method in sorted(metrics["method"].unique())
    }


def _set_scales(axis: Axes, metrics: pd.DataFrame) -> None:
    # Linear below 1, to have a place for autoencoders without active latents.
    axis.set_xscale("symlog", linthresh=1, linscale=0.3)
    lowest = metrics["l0"].min()
    left = lowest / 1.5 if lowest >= 1.5 else -0.1
    axis.set_xlim(left, max(1.5, metrics["l0"].max() * 1.5))
    write_plainly(axis.xaxis)
    axis.set_yscale("log")
    shown = metrics["nmse"][metrics["nmse"] > 0]
    if len(shown):
        axis.set_ylim(shown.min() / 1.3, max(A_CONSTANT, shown.max()) * 1.3)
    write_plainly(axis.yaxis)


def _draw_panel(axis: Axes, rows: pd.DataFrame, styles: dict[str, dict]) -> None:
    axis.axhline(A_CONSTANT, color=GREY, linestyle="--", linewidth=1)
    for method, points in rows.groupby("method"):
        style = styles[method]
        front = points[on_front(points["l0"].to_numpy(), points["nmse"].to_numpy())]
        front = front.sort_values("l0")
        # In steps: nothing shows that values between two autoencoders can be reached.
        axis.plot(
            front["l0"],
            front["nmse"],
            drawstyle="steps-post",
            color=style["markerfacecolor"],
            linewidth=1,
            zorder=1,
        )
        axis.plot(points["l0"], points["nmse"], **style)
    tidy(axis, "both")
    axis.tick_params(labelleft=True)


def _legend(styles: dict[str, dict]) -> tuple[list, list[str]]:
    """Handles and labels of the legend."""
    lines = [Line2D([], [], **style) for style in styles.values()]
    front = Line2D([], [], color="black", linewidth=1)
    constant = Line2D([], [], color=GREY, linewidth=1, linestyle="--")
    return [*lines, front, constant], [*styles, "front of a method", "a constant"]
