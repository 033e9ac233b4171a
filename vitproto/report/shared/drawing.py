"""Parts of all charts: colours, whiskers, labels at the ends of lines, files."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from vitproto.core.confidence import LEVEL
from vitproto.core.files import whole_file
from vitproto.report.shared.method_styles import MARKERS

GLYPHS = "●■◆▲▼✚✖★◀▶⬟⬢♦"
"""The `MARKERS` as characters, in the same order."""

TEXT_POINTS = 8
POINTS_PER_INCH = 72
LETTER = 0.52
"""The mean width of a letter, in points per point of its size."""
GREY = "0.35"
MIN_CONTRAST = 4.5

COLORS = ["#0072b2", "#d55e00", "#009e73", "#aa4499", "#56b4e9", "#b8860b", "#332288"]
"""Distinct on white paper, with any kind of colour vision."""

WHISKERS = f"whiskers: {LEVEL} % interval over test images and seeds"
"""What `draw_means` draws around a mean."""


def category_styles(names: Sequence[str]) -> dict[str, dict]:
    """Colour and marker of each category; up to 91 categories all look different."""
    return {
        name: {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(names)
    }


def name_with_marker(name: str, style: dict) -> str:
    """The label of a line, with its marker, to not depend on colour: `■ kmeans`."""
    return f"{GLYPHS[MARKERS.index(style['marker'])]} {name}"


# By default the ids in an SVG are random, and both formats carry the date or the
# version of matplotlib.
_SAME_IDS = {"svg.hashsalt": "vitproto", "svg.fonttype": "path"}
_METADATA = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}


def save_chart(figure: Figure, *paths: Path) -> None:
    """Write a chart as PNG or SVG, by the suffix; the same chart gives the same bytes.

    Args:
        figure: the chart.
        paths: the files to write.
    """
    with matplotlib.rc_context(_SAME_IDS):
        for path in paths:
            with whole_file(path) as partial:
                figure.savefig(partial, dpi=200, metadata=_METADATA[path.suffix])


def to_svg(figure: Figure) -> str:
    """A chart as an SVG document; the same chart gives the same text."""
    file = io.StringIO()
    with matplotlib.rc_context(_SAME_IDS):
        figure.savefig(file, format="svg", metadata=_METADATA[".svg"])
    return file.getvalue()


def make_panels(
    n_panels: int, n_columns: int, inches: tuple[float, float]
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels that share their axes, filled row by row."""
    n_rows = -(-n_panels // n_columns)
    width = max(inches[0] * n_columns, 4.8) + 0.4
    figure = Figure(figsize=(width, inches[1] * n_rows + 0.7), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[n_panels:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:n_panels])


def write_around(figure: Figure, title: str, below: str, left: str) -> None:
    """Write the title, and the names of the axes that all panels share.

    Long ones are broken into lines, as the figure would cut them off.
    """
    width = figure.get_figwidth()
    for write, text, points in (
        (figure.suptitle, title, TEXT_POINTS + 2),
        (figure.supxlabel, below, TEXT_POINTS + 1),
    ):
        n_letters = int(width * POINTS_PER_INCH / (LETTER * points))
        lines = [textwrap.fill(line, n_letters) for line in text.split("\n")]
        write("\n".join(lines), fontsize=points)
    figure.supylabel(left, fontsize=TEXT_POINTS + 1)


def draw_nothing(why: str) -> Figure:
    """Make a figure that says why there is nothing to draw."""
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, why, ha="center", va="center", fontsize=TEXT_POINTS + 1)
    return figure


def tidy(axis: Axes, grid: str) -> None:
    """Draw thin grid lines behind the data, no frame, and legible numbers.

    Args:
        axis: the panel.
        grid: the axis with grid lines: `x`, `y` or `both`.
    """
    axis.grid(axis=grid, color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=TEXT_POINTS, labelbottom=True)


def draw_means(
    axis: Axes, x: pd.Series, mean: pd.Series, reach: pd.Series, style: dict
) -> None:
    """Draw a line through means, with whiskers to both sides.

    Args:
        axis: the panel.
        x: the place of each mean.
        mean: the means.
        reach: the length of a whisker; NaN for none.
        style: colour, marker and dashes.
    """
    axis.errorbar(
        x,
        mean,
        yerr=reach.fillna(0),
        markersize=4.5,
        linewidth=1.3,
        elinewidth=0.9,
        capsize=2,
        **style,
    )


def label_lines(axis: Axes, labels: list[tuple[float, str, object]]) -> None:
    """Write labels to the right of a panel, at their heights, without overlap.

    Args:
        axis: the panel; its limits must be set.
        labels: height, text and colour of each.
    """
    bottom, top = axis.get_ylim()
    inches = axis.figure.get_size_inches()[1] * axis.get_position().height
    apart = 1.25 * TEXT_POINTS / 72 / inches * (top - bottom)
    heights = spread([height for height, _, _ in labels], apart)
    for height, (_, text, color) in zip(heights, labels, strict=True):
        axis.text(
            1.02,
            height,
            text,
            color=legible(color),
            fontsize=TEXT_POINTS,
            verticalalignment="center",
            transform=axis.get_yaxis_transform(),
        )


def legible(color: object) -> tuple[float, float, float]:
    """Darken a colour until text in it can be read on white paper.

    The contrast is that of the Web Content Accessibility Guidelines 2.2, of which small
    text needs `MIN_CONTRAST`.
    """
    rgb = np.array(to_rgb(color))
    while contrast_on_white(rgb) < MIN_CONTRAST:
        rgb = 0.97 * rgb
    return tuple(rgb.tolist())


def contrast_on_white(rgb: np.ndarray) -> float:
    """How much lighter white paper is than a colour, by relative luminance."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05))


def spread(heights: list[float], apart: float) -> list[float]:
    """Move labels so that they are `apart` from each other but near their heights.

    Labels that would touch form a group, which is centred on the mean of its
    members' heights.

    Returns:
        A height for each label, in the order given.
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[int]] = []
    for i in order:
        groups.append([i])
        while len(groups) > 1:
            lower, upper = groups[-2], groups[-1]
            needed = apart * (len(lower) + len(upper)) / 2
            if _mean(heights, upper) - _mean(heights, lower) >= needed:
                break
            groups[-2:] = [lower + upper]
    placed = list(heights)
    for group in groups:
        lowest = _mean(heights, group) - apart * (len(group) - 1) / 2
        for i_member, i in enumerate(group):
            placed[i] = lowest + apart * i_member
    return placed


def _mean(heights: list[float], group: list[int]) -> float:
    return sum(heights[i] for i in group) / len(group)
