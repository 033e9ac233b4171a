"""The chart of the frequencies of latents: a histogram for each setting."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitproto.prototypes.sae.frequency import DENSE
from vitproto.report.saes.frequencies import LatentFrequencies
from vitproto.report.shared.drawing import GREY, TEXT_POINTS, write_around
from vitproto.study.run import Run

BINS_PER_DECADE = 4
PANEL_INCHES = 4.6
ROW_INCHES = 0.36
FULL = 0.85
"""Height of the largest bar, as a share of its row."""
DARK, LIVE = "0.1", "#3b6ea5"


def draw_frequencies(autoencoders: Sequence[LatentFrequencies]) -> Figure:
    """Draw histograms of how often latents are active, and the share of dead ones.

    There is a panel for each encoder, layer and method, and in it a histogram for each
    setting: the share of latents per quarter of a decade, averaged over seeds, with
    the same scale throughout the panel. The bar at the left is the share of dead
    latents, in a frame that stands for all. Dense latents begin at the dashed line.

    Args:
        autoencoders: the frequencies of `read_frequencies`, in its order.
    """
    panels = [
        (family, [list(seeds) for _, seeds in groupby(members, key=_setting)])
        for family, members in groupby(autoencoders, key=lambda sae: sae.family)
    ]
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    most_settings = [
        max(len(settings) for _, settings in panels[i : i + n_columns])
        for i in range(0, len(panels), n_columns)
    ]
    figure = Figure(
        figsize=(
            PANEL_INCHES * n_columns + 0.3,
            sum(ROW_INCHES * n + 0.8 for n in most_settings) + 0.8,
        ),
        layout="constrained",
    )
    axes = figure.subplots(
        n_rows,
        n_columns,
        squeeze=False,
        gridspec_kw={"height_ratios": [n + 1 for n in most_settings]},
    )
    lowest = math.floor(-math.log10(max(sae.n_patches for sae in autoencoders)))
    for i, (axis, (family, settings)) in enumerate(
        zip(axes.flat, panels, strict=False)
    ):
        _draw_panel(axis, settings, lowest)
        # Rows have the same height as in a neighbour with more settings.
        n_more = most_settings[i // n_columns] - len(settings)
        axis.set_ylim(-n_more - 0.05, len(settings) + 0.1)
        encoder, layer, method = family
        title = f"{method}\n{encoder}, layer {layer}"
        axis.set_title(title, fontsize=TEXT_POINTS, loc="left")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    title = "Latents by the share of patches on which they are active"
    below = (
        "share of held-out patches on which a latent is active\n"
        "(right of the dashed line: dense)"
    )
    write_around(figure, title, below, "")
    return figure


def histogram(
    frequency_S: Float64[np.ndarray, " s"], lowest: int
) -> tuple[float, Float64[np.ndarray, " b"]]:
    """Count dead latents, and the others by the logarithm of their frequency.

    Args:
        frequency_S: the frequency of each latent.
        lowest: the power of ten at which the first bin begins.

    Returns:
        The share of latents with frequency 0, and the share in each bin up to
        frequency 1; together they sum to 1.
    """
    alive = frequency_S[frequency_S > 0]
    edges = np.linspace(lowest, 0, -lowest * BINS_PER_DECADE + 1)
    # Rounding must put no frequency beyond the first edge.
    counts, _ = np.histogram(np.log10(alive).clip(lowest, 0), edges)
    n_dead = len(frequency_S) - len(alive)
    return n_dead / len(frequency_S), counts / len(frequency_S)


def _setting(sae: LatentFrequencies) -> Run:
    return replace(sae.run, seed=0)


def _draw_panel(
    axis: Axes, settings: Sequence[Sequence[LatentFrequencies]], lowest: int
) -> None:
    """Draw one histogram above the other, with the same scale."""
    histograms = []
    for seeds in settings:
        of_seeds = [histogram(sae.frequency_S, lowest) for sae in seeds]
        n_dead, per_bin = zip(*of_seeds, strict=True)
        histograms.append((np.mean(n_dead), np.mean(per_bin, axis=0)))
    largest = max(per_bin.max() for _, per_bin in histograms)
    scale = FULL / largest if largest > 0 else 0.0
    edges = np.linspace(lowest, 0, -lowest * BINS_PER_DECADE + 1)
    heights = np.arange(len(settings))[::-1]
    for y, (dead, per_bin) in zip(heights, histograms, strict=True):
        axis.bar(
            edges[:-1],
            scale * per_bin,
            np.diff(edges),
            y,
            align="edge",
            color=LIVE,
            edgecolor="white",
            linewidth=0.4,
        )
        frame = {"x": lowest - 1.1, "width": 0.3, "bottom": y, "align": "edge"}
        axis.bar(height=FULL, fill=False, edgecolor="0.7", linewidth=0.6, **frame)
        axis.bar(height=FULL * dead, color=DARK, **frame)
        axis.text(
            lowest - 0.72,
            y + 0.06,
            f"{100 * dead:.0f} %",
            fontsize=TEXT_POINTS - 1,
            color=DARK,
        )
        axis.axhline(y, color="0.8", linewidth=0.6, zorder=0)
    axis.vlines(
        math.log10(DENSE),
        0,
        len(settings),
        color=GREY,
        linestyle="--",
        linewidth=0.8,
        zorder=0,
    )
    axis.set_xlim(lowest - 1.2, 0.05)
    powers = list(range(lowest, 1))
    axis.set_xticks([lowest - 0.9, *powers], ["dead", *map(_power_of_ten, powers)])
    labels = [_label(seeds[0].run) for seeds in settings]
    axis.set_yticks(heights, labels, verticalalignment="bottom")
    axis.annotate(
        "latents · rate · sparsity",
        (0, len(settings)),
        xytext=(-3, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        horizontalalignment="right",
        fontsize=TEXT_POINTS - 1,
        color=GREY,
    )
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_position(("data", 0))
    axis.tick_params(labelsize=TEXT_POINTS - 1)
    axis.tick_params(axis="y", length=0)


def _label(run: Run) -> str:
    numbers = [run.n_prototypes, run.learning_rate, run.sparsity]
    return " · ".join("–" if number is None else f"{number:.6g}" for number in numbers)


def _power_of_ten(power: int) -> str:
    return f"$10^{{{power}}}$"
