"""The chart that compares encoders: mAP of each method."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    WHISKERS,
    category_styles,
    draw_nothing,
    make_panels,
    tidy,
    write_around,
)
from vitproto.report.shared.wording import write_count
from vitproto.report.traits.encoder_table import name_encoder

LEGEND_INCHES = 2.2


def draw_encoders(encoders: pd.DataFrame) -> Figure:
    """Draw mAP by method and encoder.

    There is a panel for each number of prototypes, with the same axes; a row for each
    method, and in it a dot for each encoder. Whiskers are intervals over test images
    and seeds; the dashed line is chance.

    Args:
        encoders: the rows of `tabulate_encoders`.
    """
    if encoders.empty:
        return draw_nothing("No method was run in two encoders.")
    encoders = encoders.assign(name=encoders.apply(name_encoder, axis=1))
    names = sorted(encoders["name"].unique())
    methods = sorted(encoders["method"].unique())
    panels = list(encoders.groupby("n_prototypes"))
    row_inches = max(0.26, 0.14 * len(names) + 0.06)
    inches = (3.0, max(1.4, 0.5 + row_inches * len(methods)))
    figure, axes = make_panels(len(panels), min(4, len(panels)), inches)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + LEGEND_INCHES, height)
    chance = encoders["chance"].iloc[0]
    highest = encoders["map_high"].fillna(encoders["map"]).max()
    axes[0].set_xlim(0, 1.05 * max(highest, chance))
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    styles = category_styles(names)
    heights = dict(zip(names, _beside(len(names)), strict=True))
    for axis, (n_prototypes, rows) in zip(axes, panels, strict=True):
        line = axis.axvline(chance, color=GREY, linestyle="--", linewidth=1)
        dots = []
        for name in names:
            own = rows[rows["name"] == name]
            dots.append(
                axis.errorbar(
                    own["map"],
                    own["method"].map(methods.index) + heights[name],
                    xerr=(own["map_high"] - own["map"]).fillna(0),
                    linestyle="none",
                    markersize=4.5,
                    elinewidth=0.9,
                    capsize=2,
                    **styles[name],
                )
            )
        tidy(axis, "x")
        for boundary in np.arange(0.5, len(methods) - 1):
            axis.axhline(boundary, color="0.9", linewidth=0.6)
        axis.tick_params(axis="y", length=0)
        title = write_count(n_prototypes, "prototype")
        axis.set_title(title, fontsize=TEXT_POINTS, loc="left")
    figure.legend(
        [*dots, line],
        [*names, "chance"],
        loc="outside right center",
        fontsize=TEXT_POINTS,
        frameon=False,
    )
    n_train = encoders["n_train"].iloc[0]
    dataset = encoders["dataset"].iloc[0]
    title = f"{dataset}: mAP by encoder, chosen on {n_train:,} images"
    below = "mAP on the test images"
    if encoders["map_high"].notna().any():
        below += f" ({WHISKERS})"
    write_around(figure, title, below, "")
    return figure


def _beside(n: int) -> list[float]:
    """Heights of n dots around the middle of a row, in order."""
    return ((np.arange(n) - (n - 1) / 2) * 0.8 / n).tolist()
