"""The chart of kinds of traits: AP of each method."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vitproto.core.confidence import LEVEL
from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    make_panels,
    tidy,
    write_around,
)
from vitproto.report.shared.method_styles import Style
from vitproto.report.shared.wording import write_count
from vitproto.report.traits.ap_table import PLACE


def draw_groups(groups: pd.DataFrame, styles: Mapping[str, Style]) -> Figure:
    """Draw AP by method and kind of trait: colour, pattern, shape, size.

    There is a row of panels for each place and a panel for each kind, all with the
    same axes. Each method is a dot at the end of a line from chance, which is dashed.
    Whiskers are intervals over test images and seeds, where there are some.

    Args:
        groups: the rows of `tabulate_groups`.
        styles: the look of each method.
    """
    kinds = groups[groups["group"] == ""]
    methods = sorted(kinds["method"].unique())
    panels = list(kinds.groupby([*PLACE, "kind"]))
    inches = (2.3, 0.8 + 0.2 * len(methods))
    figure, axes = make_panels(len(panels), kinds["kind"].nunique(), inches)
    highest = kinds["ap_high"].fillna(kinds["ap"]).max()
    axes[0].set_xlim(0, 1.08 * max(highest, kinds["chance"].max()))
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    for axis, (key, rows) in zip(axes, panels, strict=True):
        encoder, layer, n_prototypes, kind = key
        first = rows.iloc[0]
        axis.axvline(first["chance"], color=GREY, linestyle="--", linewidth=1)
        heights = rows["method"].map(methods.index)
        axis.hlines(heights, first["chance"], rows["ap"], color="0.75", linewidth=1.3)
        for row, height in zip(rows.itertuples(), heights, strict=True):
            axis.errorbar(
                row.ap,
                height,
                xerr=np.nan_to_num(row.ap_high - row.ap),
                **{**styles[row.method], "linestyle": "none"},
                markersize=4.5,
                elinewidth=0.9,
                capsize=2.5,
            )
        tidy(axis, "x")
        axis.tick_params(axis="y", length=0)
        title = f"{kind}: {write_count(first['n_traits'], 'trait')}"
        if len(panels) > kinds["kind"].nunique():
            count = write_count(n_prototypes, "prototype")
            title = f"{encoder}, layer {layer}\n{count}, {title}"
        axis.set_title(title, fontsize=TEXT_POINTS, loc="left")
    first = kinds.iloc[0]
    title = f"{first['dataset']}: AP by kind of trait"
    if len(panels) == kinds["kind"].nunique():
        count = write_count(first["n_prototypes"], "prototype")
        title += f" ({first['encoder']}, layer {first['layer']}, {count})"
    below = "mean AP on the test images (dashed: chance"
    if kinds["ap_low"].notna().any():
        below += f"; whiskers: {LEVEL} % interval over test images and seeds"
    write_around(figure, title, f"{below})", "")
    return figure
