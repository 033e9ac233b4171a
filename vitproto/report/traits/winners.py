"""Comparison of methods at equal numbers of prototypes, with bootstrap intervals.

Axes: R resamples, S pairs of seeds, T traits.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vitproto.report.shared.resampling import (
    DECIMALS,
    SEED,
    draw_resamples,
    find_interval,
)
from vitproto.report.traits.ap_table import PAIR, PLACE
from vitproto.report.traits.chosen_settings import keep_chosen
from vitproto.report.traits.trait_groups import find_group


class Standing(NamedTuple):
    """A method, and how far its mAP is below that of the best one."""

    method: str
    map: float
    n_pairs: int
    """Pairs of seeds; a single one does not show how much fits differ."""
    below: float
    """mAP of the best method minus its own; 0 for the best method."""
    low: float
    high: float
    """The interval of `below`."""

    @property
    def is_worse(self) -> bool:
        """Whether the interval excludes 0, to the decimals that are printed."""
        return round(self.low, DECIMALS) > 0


class Comparison(NamedTuple):
    """All methods with one number of prototypes in one layer of one encoder."""

    encoder: str
    layer: int
    n_prototypes: int
    n_train: int
    chance: float
    standings: list[Standing]
    """Sorted by mAP, the highest first; equals by name."""


def compare_methods(ap: pd.DataFrame) -> list[Comparison]:
    """Compare methods at the largest `n_train`, each with its chosen setting.

    Args:
        ap: the rows of `read_ap`.

    Returns:
        A comparison for each encoder, layer and number of prototypes that two or more
        methods share, sorted by these.
    """
    scored = keep_chosen(ap[ap["test_ap"].notna()])
    comparisons = []
    for place, rows in scored.groupby(PLACE):
        if rows["method"].nunique() < 2:
            continue
        ap_of = {
            method: own.pivot(index=PAIR, columns="trait", values="test_ap")
            for method, own in rows.groupby("method")
        }
        traits = next(iter(ap_of.values())).columns.tolist()
        standings = rank_methods(
            {method: table.to_numpy() for method, table in ap_of.items()}, traits
        )
        n_train = int(rows["n_train"].iloc[0])
        chance = rows.drop_duplicates("trait")["prevalence"].mean()
        comparisons.append(Comparison(*place, n_train, chance, standings))
    return comparisons


def rank_methods(
    ap_of: dict[str, Float[np.ndarray, "_ t"]], traits: Sequence[str]
) -> list[Standing]:
    """Rank methods by mAP, with an interval for the lead of the best over each.

    The interval is a bootstrap over attributes and seeds. Each resample draws
    attributes with all their traits, since these depend on each other, and uses them
    for all methods; and for each method separately it draws pairs of seeds. It draws
    n − 1 of n attributes or pairs, which makes the variance of a mean right; n draws
    would make it too small by the factor (n − 1) / n, which is 2/3 for three seeds.

    Args:
        ap_of: test AP of each method, by pair of seeds and trait.
        traits: names of the traits, in the order of the columns.
    """
    rng_traits, *rngs = np.random.default_rng(SEED).spawn(1 + len(ap_of))
    weights_RT = draw_traits(traits, rng_traits)
    map_of = {method: float(ap_ST.mean()) for method, ap_ST in ap_of.items()}
    map_R_of = {
        method: resample_map(ap_of[method], weights_RT, rng)
        for method, rng in zip(sorted(ap_of), rngs, strict=True)
    }
    order = sorted(ap_of, key=lambda method: (-map_of[method], method))
    best = order[0]
    standings = []
    for method in order:
        low, high = 0.0, 0.0
        if method != best:
            low, high = find_interval(map_R_of[best] - map_R_of[method], len(traits))
        below = map_of[best] - map_of[method]
        n_pairs = len(ap_of[method])
        standings.append(Standing(method, map_of[method], n_pairs, below, low, high))
    return standings


def draw_traits(
    traits: Sequence[str], rng: np.random.Generator
) -> Int[np.ndarray, "r t"]:
    """Draw how often each resample takes each trait, the same within an attribute."""
    groups = [find_group(trait) for trait in traits]
    if len(set(groups)) == 1:  # a single attribute cannot be resampled
        groups = list(traits)
    group_T = np.unique(groups, return_inverse=True)[1]
    return draw_resamples(int(group_T.max()) + 1, rng)[:, group_T]


def resample_map(
    ap_ST: Float[np.ndarray, "s t"],
    weights_RT: Int[np.ndarray, "r t"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " r"]:
    """The mAP of each resample, over its traits and newly drawn pairs of seeds."""
    weights_RS = draw_resamples(len(ap_ST), rng)
    # No matrix product: its last bits depend on the machine.
    ap_RT = sum(
        weights_R[:, None] * ap_T
        for weights_R, ap_T in zip(weights_RS.T, ap_ST, strict=True)
    )
    total_R = weights_RS.sum(axis=1) * weights_RT.sum(axis=1)
    return (ap_RT * weights_RT).sum(axis=1) / total_R
