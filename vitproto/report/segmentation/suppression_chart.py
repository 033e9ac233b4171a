"""The charts of suppression: loss against edit length, and class by class."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vitproto.core.confidence import LEVEL
from vitproto.report.segmentation.suppression_explanations import describe_dose
from vitproto.report.segmentation.suppression_rows import (
    AT_LENGTH,
    CEILING,
    EDITS,
    OWN,
    Suppression,
    is_judged,
)
from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    category_styles,
    draw_nothing,
    label_lines,
    name_with_marker,
    tidy,
)

PANEL_INCHES = (4.6, 2.7)
SCATTER_INCHES = (3.6, 3.4)
LEGEND_INCHES = 1.9
RESPONSES = {
    "loss": "lost by the class",
    "collateral": "lost by the others",
}
"""The rows of the chart of curves: measures, and who loses the IoU."""
CEILING_STYLE = {"color": "#332288", "marker": "P"}
"""Darker than the sixth of the usual colours, to be legible as a label."""
NOBODY = "No class could be judged, so there is nothing to draw."


def draw_curves(suppression: Suppression) -> Figure:
    """Draw what the class and the others lose, against the length of each edit.

    There is a column of panels for each SAE, with the mean loss of the class above and
    the collateral below, on the same scales. Each edit is a line, named at its end,
    over the same classes everywhere. Whiskers are intervals over classes, images and
    draws; lines are shifted a little, to keep them apart. A dotted line shows where
    SAEs are compared.

    Args:
        suppression: the results of `read_suppression`.
    """
    summary = suppression.summary
    summary = summary[(summary["at"] == AT_LENGTH) & (summary["n_classes"] > 0)]
    if summary.empty:
        return draw_nothing(NOBODY)
    n_saes = len(suppression.saes)
    width, height = PANEL_INCHES
    figure = Figure(
        figsize=(width * n_saes + 0.5, 2 * height + 0.9), layout="constrained"
    )
    axes = figure.subplots(2, n_saes, sharex=True, sharey=True, squeeze=False)
    styles = category_styles(list(EDITS)) | {CEILING: CEILING_STYLE}
    _set_limits(axes[0, 0], summary)
    for column, sae in zip(axes.T, suppression.saes, strict=True):
        own = summary[summary["sae"] == sae]
        column[0].set_title(_in_lines(sae), fontsize=TEXT_POINTS, loc="left")
        for axis, (name, who) in zip(column, RESPONSES.items(), strict=True):
            _draw_lines(axis, own, name, summary["length"].max(), styles)
            axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
            for length in own.loc[own["is_main"], "length"].unique():
                axis.axvline(length, color=GREY, linewidth=0.8, linestyle=":")
            tidy(axis, "y")
            axis.tick_params(labelleft=True)
            axis.set_ylabel(f"mean share of IoU {who}", fontsize=TEXT_POINTS)
    title = "Loss of a class and of the others, by edit and length"
    figure.suptitle(title, fontsize=TEXT_POINTS + 2)
    below = (
        "length of the edit, as a share of that of the activations (dotted: where "
        f"SAEs are compared; whiskers: {LEVEL} % intervals over classes, images and "
        "draws)"
    )
    figure.supxlabel(textwrap.fill(below, 34 * n_saes + 40), fontsize=TEXT_POINTS + 1)
    return figure


def draw_classes(suppression: Suppression, dose: float) -> Figure:
    """Draw what each class loses against what the others lose.

    There is a panel for each SAE, and in it a point for each class and edit. Right of
    the dashed line, the class loses more than the others do on average.

    Args:
        suppression: the results of `read_suppression`.
        dose: the dose that is shown.
    """
    rows = suppression.rows[
        (suppression.rows["dose"] == dose) & is_judged(suppression.rows)
    ]
    if rows.empty:
        return draw_nothing(NOBODY)
    n_saes = len(suppression.saes)
    width, height = SCATTER_INCHES
    figure = Figure(
        figsize=(width * n_saes + LEGEND_INCHES, height + 0.8), layout="constrained"
    )
    axes = figure.subplots(1, n_saes, sharex=True, sharey=True, squeeze=False)[0]
    styles = category_styles(list(EDITS)) | {CEILING: CEILING_STYLE}
    low, high = _range(rows[["loss", "collateral"]])
    # A range of its own: collateral is small, and points would lie on one line.
    bottom, top = _range(rows[["collateral"]])
    axes[0].set_xlim(low, high)
    axes[0].set_ylim(bottom, top)
    for axis, sae in zip(axes, suppression.saes, strict=True):
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        axis.axvline(0, color=GREY, linewidth=0.8, zorder=1)
        axis.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
        own = rows[rows["sae"] == sae]
        # The latents last: their points lie on top.
        for edit in reversed(EDITS):
            points = own[own["edit"] == edit]
            axis.plot(
                points["loss"], points["collateral"], **_point(styles, edit), zorder=3
            )
        tidy(axis, "both")
        axis.tick_params(labelleft=True)
        axis.set_title(_in_lines(sae), fontsize=TEXT_POINTS, loc="left")
    figure.suptitle(
        f"Class by class, latents {describe_dose(dose)} (edits of SAEs differ in "
        "length: compare edits within a panel)",
        fontsize=TEXT_POINTS + 2,
    )
    figure.supxlabel("share of IoU lost by the class", fontsize=TEXT_POINTS + 1)
    figure.supylabel("mean share of IoU lost by the others", fontsize=TEXT_POINTS + 1)
    handles = [Line2D([], [], **_point(styles, edit)) for edit in EDITS]
    equal = Line2D([], [], color=GREY, linestyle="--", linewidth=1)
    figure.legend(
        [*handles, equal],
        [*EDITS.values(), "equal loss"],
        loc="outside right center",
        frameon=False,
        fontsize=TEXT_POINTS,
    )
    return figure


def _draw_lines(
    axis: Axes,
    summary: pd.DataFrame,
    name: str,
    longest: float,
    styles: dict[str, dict],
) -> None:
    """Draw a line for each edit over lengths, with whiskers and its name."""
    labels = []
    apart = np.linspace(-0.008, 0.008, len(EDITS)) * longest
    for shift, (edit, called) in zip(apart, EDITS.items(), strict=True):
        line = summary[summary["edit"] == edit]
        if line.empty:
            continue
        below = (line[name] - line[f"{name}_low"]).fillna(0).clip(lower=0)
        above = (line[f"{name}_high"] - line[name]).fillna(0).clip(lower=0)
        is_own = edit == OWN
        axis.errorbar(
            line["length"] + shift,
            line[name],
            yerr=[below, above],
            markersize=4.5,
            linewidth=1.8 if is_own else 1.1,
            linestyle="-" if is_own else "--",
            elinewidth=0.9,
            capsize=2,
            **styles[edit],
        )
        label = name_with_marker(called, styles[edit])
        labels.append((line[name].iloc[-1], label, styles[edit]["color"]))
    label_lines(axis, labels)


def _in_lines(sae: str) -> str:
    """Break the name of an SAE before its layer."""
    return sae.replace(", ", "\n", 1)


def _set_limits(axis: Axes, summary: pd.DataFrame) -> None:
    names = [f"{name}{end}" for name in RESPONSES for end in ("", "_low", "_high")]
    axis.set_ylim(*_range(summary[names]))
    axis.set_xlim(0, 1.04 * summary["length"].max())


def _range(values: pd.DataFrame) -> tuple[float, float]:
    """The range of the values and 0, with a margin."""
    low = min(0.0, float(np.nanmin(values.to_numpy())))
    high = max(0.0, float(np.nanmax(values.to_numpy())))
    margin = 0.06 * (high - low) or 0.01
    return low - margin, high + margin


def _point(styles: dict[str, dict], edit: str) -> dict:
    return {
        "linestyle": "none",
        "marker": styles[edit]["marker"],
        "markersize": 6 if edit == "latents" else 4.5,
        "markerfacecolor": styles[edit]["color"],
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
    }
