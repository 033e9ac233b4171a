"""The chart of a trait's page: precision against recall of each method's prototype."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import GREY, TEXT_POINTS, name_with_marker, tidy
from vitproto.report.shared.wording import write_number
from vitproto.traits.precision_recall import Curve

INCHES = (6.4, 3.2)
AXES = (0.09, 0.15, 0.56, 0.82)
"""Left, bottom, width and height of the panel, as shares of the figure."""

N_POINTS = 100
"""Most points of a curve that are drawn: more cannot be told apart."""

MAX_CURVES = 6
"""Most curves in the chart, those of the methods with the highest mAP."""


def draw_curves(
    curves: Mapping[str, Curve],
    ap: Mapping[str, float],
    prevalence: float,
    styles: Mapping[str, dict],
) -> Figure:
    """Draw a curve for each method, and the prevalence as a dashed line.

    Args:
        curves: by method; the first `MAX_CURVES` are drawn.
        ap: the AP of each, for its label.
        prevalence: the share of the ranked images that show the trait.
        styles: colour and marker of each method.
    """
    figure = Figure(figsize=INCHES)
    axis = figure.add_axes(AXES)
    axis.axhline(prevalence, color=GREY, linestyle="--", linewidth=1)
    axis.text(
        1.0,
        prevalence,
        "prevalence",
        va="bottom",
        ha="right",
        color=GREY,
        fontsize=TEXT_POINTS,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
    )
    for method, curve in list(curves.items())[:MAX_CURVES]:
        style, shown_R = styles[method], thin(curve)
        axis.plot(
            curve.recall_R[shown_R],
            curve.precision_R[shown_R],
            color=style["color"],
            marker=style["marker"],
            linestyle=style["linestyle"],
            linewidth=1.3,
            markersize=4.5,
            markevery=0.2,
            label=f"{name_with_marker(method, style)}, AP {write_number(ap[method])}",
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("recall on the test images", fontsize=TEXT_POINTS + 1)
    axis.set_ylabel("precision", fontsize=TEXT_POINTS + 1)
    tidy(axis, "both")
    axis.legend(
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        fontsize=TEXT_POINTS,
        frameon=False,
        handlelength=1.2,
    )
    return figure


def thin(curve: Curve) -> np.ndarray:
    """Indices of at most `N_POINTS` points, evenly spread over recall, and the ends."""
    at = np.searchsorted(curve.recall_R, np.linspace(0, 1, N_POINTS - 1))
    last = len(curve.recall_R) - 1
    return np.unique([0, *np.minimum(at, last).tolist(), last])
