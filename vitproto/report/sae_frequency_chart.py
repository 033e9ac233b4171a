"""The chart of how often latents are active: a histogram for each setting."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitproto.prototypes.sae.frequency import DENSE
from vitproto.report.latent_frequencies import LatentFrequencies
from vitproto.runs import Run

BINS_PER_DECADE = 4
PANEL_INCHES = 4.6
ROW_INCHES = 0.42
TEXT_POINTS = 8
DARK, LIVE, GREY = "0.1", "#3b6ea5", "0.35"


def draw_frequencies(found: Sequence[LatentFrequencies]) -> Figure:
    """On which share of the patches are latents active, and how many never are?

    A panel for each encoder, layer and method, in it a histogram for each setting:
    the share of latents per quarter of a decade, averaged over seeds. The bar at the
    left, apart from the others and to the same scale, is the dead latents. The dashed
    line is where dense latents begin.

    Args:
        found: what `read_frequencies` gives.
    """
    panels = [
        (key, [list(seeds) for _, seeds in groupby(members, key=_setting)])
        for key, members in groupby(found, key=_family)
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
    lowest = math.floor(-math.log10(max(one.n_patches for one in found)))
    for axis, (key, settings) in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, settings, lowest)
        encoder, layer, method = key
        title = f"{method}\n{encoder}, layer {layer}"
        axis.set_title(title, fontsize=TEXT_POINTS, loc="left")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("How often latents are active", fontsize=TEXT_POINTS + 2)
    figure.supxlabel(
        "share of held-out patches on which a latent is active",
        fontsize=TEXT_POINTS + 1,
    )
    return figure


def histogram(
    frequency_S: Float64[np.ndarray, "s"], lowest: int
) -> tuple[float, Float64[np.ndarray, "b"]]:
    """Which share of the latents is dead, and which is how frequent?

    Args:
        frequency_S: of each latent.
        lowest: the power of ten at which the first bin begins.

    Returns:
        The share with frequency 0, and the shares per bin up to frequency 1; all of
        them sum to 1.
    """
    alive = frequency_S[frequency_S > 0]
    edges = np.linspace(lowest, 0, -lowest * BINS_PER_DECADE + 1)
    # Rounding must put no frequency beyond the first edge.
    counts, _ = np.histogram(np.log10(alive).clip(lowest, 0), edges)
    n_dead = len(frequency_S) - len(alive)
    return n_dead / len(frequency_S), counts / len(frequency_S)


def _family(one: LatentFrequencies) -> tuple[str, int, str]:
    return one.encoder, one.layer, one.method


def _setting(one: LatentFrequencies) -> Run:
    return replace(one.run, seed=0)


def _draw_panel(
    axis: Axes, settings: Sequence[Sequence[LatentFrequencies]], lowest: int
) -> None:
    """One histogram above the other, all to the same scale."""
    histograms = []
    for seeds in settings:
        of_seeds = [histogram(one.frequency_S, lowest) for one in seeds]
        n_dead, per_bin = zip(*of_seeds, strict=True)
        histograms.append((np.mean(n_dead), np.mean(per_bin, axis=0)))
    largest = max(max(dead, per_bin.max()) for dead, per_bin in histograms)
    scale = 0.85 / largest
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
        axis.bar(lowest - 1.1, scale * dead, 0.3, y, align="edge", color=DARK)
        axis.text(
            lowest - 0.72,
            y + 0.06,
            f"{100 * dead:.0f} %",
            fontsize=TEXT_POINTS - 1,
            color=DARK,
        )
        axis.axhline(y, color="0.8", linewidth=0.6, zorder=0)
    axis.axvline(math.log10(DENSE), color=GREY, linestyle="--", linewidth=0.8, zorder=0)
    axis.set_xlim(lowest - 1.2, 0.05)
    axis.set_ylim(-0.05, len(settings))
    powers = list(range(lowest, 1))
    axis.set_xticks([lowest - 0.9, *powers], ["dead", *map(_power_of_ten, powers)])
    labels = [_label(seeds[0].run) for seeds in settings]
    axis.set_yticks(heights, labels, verticalalignment="bottom")
    axis.set_title(
        "latents · rate · sparsity", fontsize=TEXT_POINTS - 1, x=0, ha="right"
    )
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(labelsize=TEXT_POINTS - 1)
    axis.tick_params(axis="y", length=0)


def _label(run: Run) -> str:
    numbers = [run.n_prototypes, run.learning_rate, run.sparsity]
    return " · ".join("–" if number is None else f"{number:.6g}" for number in numbers)


def _power_of_ten(power: int) -> str:
    return f"$10^{{{power}}}$"
