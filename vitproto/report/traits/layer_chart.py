"""The chart that compares layers: mAP of each method."""

import textwrap
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    WHISKERS,
    draw_means,
    draw_nothing,
    label_lines,
    make_panels,
    name_with_marker,
    tidy,
    write_around,
)
from vitproto.report.shared.method_styles import Style
from vitproto.report.shared.wording import write_count

PANEL_INCHES = (3.8, 3.2)


def draw_layers(layers: pd.DataFrame, styles: Mapping[str, Style]) -> Figure:
    """Draw mAP against the layer.

    There is a panel for each encoder and number of prototypes, all with the same axes,
    and a line for each method, named at its end. Whiskers are intervals over test
    images and seeds; the dashed line is chance.

    Args:
        layers: the rows of `tabulate_layers`.
        styles: the look of each method.
    """
    if layers.empty:
        return draw_nothing("No method was run in two layers of an encoder.")
    panels = list(layers.groupby(["encoder", "n_prototypes"]))
    n_counts = layers["n_prototypes"].nunique()
    is_grid = n_counts <= 4 and len(panels) == n_counts * layers["encoder"].nunique()
    n_columns = n_counts if is_grid else min(3, len(panels))
    figure, axes = make_panels(len(panels), n_columns, PANEL_INCHES)
    chance = layers["chance"].iloc[0]
    numbers = sorted(layers["layer"].unique().tolist())
    margin = 0.06 * (numbers[-1] - numbers[0])
    axes[0].set_xticks(numbers)
    axes[0].set_xlim(numbers[0] - margin, numbers[-1] + margin)
    highest = layers["map_high"].fillna(layers["map"]).max()
    axes[0].set_ylim(0, 1.08 * max(highest, chance))
    for axis, ((encoder, n_prototypes), rows) in zip(axes, panels, strict=True):
        axis.axhline(chance, color=GREY, linestyle="--", linewidth=1)
        labels = [(chance, "chance", GREY)]
        for method, line in rows.groupby("method"):
            style = styles[method]
            draw_means(
                axis, line["layer"], line["map"], line["map_high"] - line["map"], style
            )
            label = name_with_marker(method, style)
            labels.append((line["map"].iloc[-1], label, style["color"]))
        label_lines(axis, labels)
        tidy(axis, "y")
        axis.tick_params(labelleft=True)
        title = (
            write_count(n_prototypes, "prototype") + f"\n{textwrap.fill(encoder, 44)}"
        )
        axis.set_title(title, fontsize=TEXT_POINTS, loc="left")
    n_train = layers["n_train"].iloc[0]
    title = f"{layers['dataset'].iloc[0]}: mAP by layer, chosen on {n_train:,} images"
    below = "layer: the block, counted from 0"
    if layers["map_high"].notna().any():
        below += f" ({WHISKERS})"
    write_around(figure, title, below, "mAP on the test images")
    return figure
