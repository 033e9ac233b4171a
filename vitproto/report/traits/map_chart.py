"""The main chart: mAP against the number of training images, and of prototypes."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitproto.report.shared.drawing import (
    GREY,
    TEXT_POINTS,
    WHISKERS,
    draw_means,
    label_lines,
    name_with_marker,
    tidy,
    write_around,
)
from vitproto.report.shared.method_styles import Style
from vitproto.report.shared.wording import write_count
from vitproto.report.traits.answer import Place, keep_largest_shared

INCHES = (3.8, 3.7)
"""Width of a panel, and height of the chart."""

PROBE = "supervised probe"


class _Panel(NamedTuple):
    """What a panel shows."""

    x: str
    """The column along the horizontal axis."""
    title: str
    below: str
    """The name of the horizontal axis."""
    rows: pd.DataFrame


def draw_chart(
    table: pd.DataFrame, place: Place, styles: Mapping[str, Style]
) -> Figure:
    """Draw mAP in the layer that the answer is about.

    The left panel compares methods with as many prototypes, at the largest number that
    two of them have, by the number of training images that choose. The right one
    compares them by the number of prototypes, chosen on the most training images; it is
    left out if all have the same number. Each method is a line with its own colour and
    marker, named at its end. Whiskers are intervals over test images and seeds; the
    dashed line is chance, the dotted one a supervised probe on the same images. Of
    several settings of a method, only the one chosen on training images is drawn.

    Args:
        table: the rows of `tabulate_configurations`.
        place: the encoder and layer.
        styles: the look of each method.
    """
    rows = place.keep(table[table["is_chosen"]])
    panels = _make_panels(rows)
    figure = Figure(figsize=(INCHES[0] * len(panels), INCHES[1]), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    highest = rows[["map", "map_high", "chance", "ceiling"]].max().max()
    axes[0].set_ylim(0, 1.08 * highest)
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel, styles)
    title = f"{rows['dataset'].iloc[0]}: mAP of prototypes in {place}"
    write_around(figure, title, _write_notes(rows), "mAP on the test images")
    # The distance between labels depends on the finished layout.
    figure.draw_without_rendering()
    for axis, panel in zip(axes, panels, strict=True):
        _label_panel(axis, panel, styles)
    return figure


def _make_panels(rows: pd.DataFrame) -> list[_Panel]:
    most = rows[rows["n_train"] == rows["n_train"].max()]
    shared = keep_largest_shared(most)["n_prototypes"].iloc[0]
    left = _Panel(
        "n_train",
        write_count(shared, "prototype"),
        "training images that prototypes are chosen on",
        rows[rows["n_prototypes"] == shared],
    )
    if most["n_prototypes"].nunique() == 1:
        return [left]
    n_train = most["n_train"].iloc[0]
    title = f"chosen on {write_count(n_train, 'training image')}"
    return [left, _Panel("n_prototypes", title, "prototypes to choose from", most)]


def _write_notes(rows: pd.DataFrame) -> str:
    notes = [WHISKERS] if rows["map_high"].notna().any() else []
    if (rows["n_settings"] > 1).any():
        notes.append(
            "Of several settings of a method, the one with the highest AP on training "
            "images is drawn."
        )
    return "\n".join(notes)


def _draw_panel(axis: Axes, panel: _Panel, styles: Mapping[str, Style]) -> None:
    rows = panel.rows
    ticks = sorted(rows[panel.x].unique().tolist())
    axis.set_xscale("log")
    axis.set_xticks(ticks, tick_labels(ticks))
    axis.set_xticks([], minor=True)
    axis.set_xlim(ticks[0] / 1.4, ticks[-1] * 1.4)
    axis.set_title(panel.title, fontsize=TEXT_POINTS + 1, loc="left")
    axis.set_xlabel(panel.below, fontsize=TEXT_POINTS)
    axis.axhline(rows["chance"].iloc[0], color=GREY, linestyle="--", linewidth=1)
    ceiling = _ceiling(panel)
    axis.plot(ceiling.index, ceiling, color=GREY, linestyle=":", linewidth=1.2)
    for method, line in rows.groupby("method"):
        own = line.sort_values(panel.x)
        reach = own["map_high"] - own["map"]
        draw_means(axis, own[panel.x], own["map"], reach, styles[method])
    tidy(axis, "y")
    axis.tick_params(labelleft=True)


def _ceiling(panel: _Panel) -> pd.Series:
    """The mAP of the supervised probe along the axis; empty if there is none."""
    return panel.rows.dropna(subset="ceiling").groupby(panel.x)["ceiling"].first()


def _label_panel(axis: Axes, panel: _Panel, styles: Mapping[str, Style]) -> None:
    labels = [(panel.rows["chance"].iloc[0], "chance", GREY)]
    ceiling = _ceiling(panel)
    if len(ceiling):
        labels.append((ceiling.iloc[-1], PROBE, GREY))
    for method, line in panel.rows.groupby("method"):
        height = line.sort_values(panel.x)["map"].iloc[-1]
        style = styles[method]
        labels.append((height, name_with_marker(method, style), style["color"]))
    label_lines(axis, labels)


def tick_labels(values: list[int]) -> list[str]:
    """Labels of ticks; those that would touch their neighbour are one line lower."""
    labels: list[str] = []
    for i, n in enumerate(values):
        close = i > 0 and n < 1.7 * values[i - 1]
        down = close and not labels[-1].startswith("\n")
        labels.append(f"\n{n}" if down else str(n))
    return labels
