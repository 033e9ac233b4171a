"""Intervals of the mean AP of kinds of traits and of attributes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from vitproto.report.traits.ap_table import CONFIGURATION
from vitproto.report.traits.interval_table import interval_of
from vitproto.report.traits.trait_groups import find_group, find_kind
from vitproto.traits.intervals import (
    Resampled,
    Spread,
    map_spread,
    mean_fit_variance,
)
from vitproto.traits.resampled_rows import ResampledImages


class TraitGroup(NamedTuple):
    """The traits of a kind, or of an attribute."""

    kind: str
    group: str
    """The attribute; empty for all traits of the kind."""
    members: Int[np.ndarray, " m"]
    """Their places among the traits that a test image shows."""
    n_shown_groups: int
    """The groups of test images, such as species, that show one of them."""


def list_groups(
    names: Sequence[str], columns_T: Int[np.ndarray, " t"], images: ResampledImages
) -> list[TraitGroup]:
    """The kinds and attributes of some traits.

    Args:
        names: the traits.
        columns_T: the column of each among the labels of the images.
        images: the test images.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for t, name in enumerate(names):
        for group in ("", find_group(name)):
            members.setdefault((find_kind(name), group), []).append(t)
    return [
        TraitGroup(*key, np.array(own), images.count_groups_showing(columns_T[own]))
        for key, own in sorted(members.items())
    ]


class MeasuredGroup(NamedTuple):
    """The mean AP of a group of traits by a method, with the parts of its variance."""

    ap: float
    spread: Spread
    difference: float
    """From the expected AP of a random ranking."""
    difference_spread: Spread


def measure_groups(
    rows: Sequence[Resampled],
    groups: Sequence[TraitGroup],
    chance_RT: Float[np.ndarray, "r t"],
) -> list[MeasuredGroup]:
    """The mean AP of each group of traits, and its difference from chance.

    Args:
        rows: the AP of each group in resamples, of one method.
        groups: the groups.
        chance_RT: expected AP of a random ranking; on all images in the first row.
    """
    measured = []
    for row, group in zip(rows, groups, strict=True):
        is_shown_R = ~np.isnan(row.map_RFS).any(axis=(1, 2))
        row = row._replace(ap_RT=row.ap_RT[is_shown_R], map_RFS=row.map_RFS[is_shown_R])
        own_RM = chance_RT[:, group.members]
        above = row.less(own_RM[0], own_RM[1:][is_shown_R])
        spread = map_spread(row, group.n_shown_groups)
        above_spread = map_spread(above, group.n_shown_groups)
        measured.append(MeasuredGroup(row.value, spread, above.value, above_spread))
    return measured


def tabulate_groups(
    configurations: Sequence[pd.Series],
    methods: Sequence[Sequence[MeasuredGroup]],
    groups: Sequence[TraitGroup],
    n_groups: int,
) -> list[dict[str, object]]:
    """The intervals of all methods that are compared at a number of prototypes.

    Intervals are over test images and seeds. There is none where classes are too few,
    in all or among the images that show one of the traits.

    Args:
        configurations: the row of the mAP table of each method.
        methods: the groups of traits of each method.
        groups: the groups.
        n_groups: the groups of test images, such as species.
    """
    table = []
    for g, group in enumerate(groups):
        few = (n_groups, group.n_shown_groups)
        own = [measured[g] for measured in methods]
        usual = mean_fit_variance(measured.spread for measured in own)
        usual_difference = mean_fit_variance(
            measured.difference_spread for measured in own
        )
        for configuration, measured in zip(configurations, own, strict=True):
            ap = interval_of(measured.ap, measured.spread.with_fits(usual), *few)
            parts = measured.difference_spread.with_fits(usual_difference)
            difference = interval_of(measured.difference, parts, *few)
            table.append(
                {
                    **{column: configuration[column] for column in CONFIGURATION},
                    "kind": group.kind,
                    "group": group.group,
                    "n_traits": len(group.members),
                    "ap": ap.value,
                    "ap_low": ap.low,
                    "ap_high": ap.high,
                    "chance": ap.value - difference.value,
                    "difference": difference.value,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "n_groups": group.n_shown_groups,
                }
            )
    return table
