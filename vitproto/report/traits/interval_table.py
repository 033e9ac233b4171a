"""Intervals of mAPs, of differences between methods, and of single traits.

They are made of all families in one layer of an encoder: methods are compared there.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from vitproto.core.confidence import (
    LEVEL,
    MIN_GROUPS,
    MIN_SHOWN_GROUPS,
    SIGNIFICANT,
    holm,
)
from vitproto.report.traits.ap_table import CONFIGURATION, PLACE
from vitproto.report.traits.trait_groups import find_group
from vitproto.traits.intervals import (
    Interval,
    Part,
    Resampled,
    Spread,
    difference_parts,
    map_spread,
    t_interval,
    trait_part,
    trait_spread,
)

AT = [*PLACE, "n_train"]
"""Columns that name where methods are compared."""

INTERVAL = ["map_low", "map_high", "map_low_traits", "map_high_traits"]
"""Columns with the ends of intervals."""

ENDS = ["low", "high", "low_traits", "high_traits"]
"""The same of differences."""


class Traits(NamedTuple):
    """The traits that a test image shows."""

    names: list[str]
    n_shown_groups_T: Int[np.ndarray, " t"]
    """The groups of test images, such as species, that show each."""

    @property
    def attribute_T(self) -> Int[np.ndarray, " t"]:
        """The attribute of each, from 0; where there is only one, each is its own."""
        attributes = [find_group(name) for name in self.names]
        if len(set(attributes)) == 1:
            attributes = self.names
        return np.unique(attributes, return_inverse=True)[1]


def interval_of(
    value: float, parts: Sequence[Part], n_groups: int, n_shown_groups: int
) -> Interval:
    """The interval of a mean AP, over test images and seeds; NaN if classes are few.

    Args:
        value: the mean AP of some traits, or a difference.
        parts: the parts of its variance.
        n_groups: the groups of test images, such as species.
        n_shown_groups: those that show one of the traits.
    """
    if n_groups < MIN_GROUPS or n_shown_groups < MIN_SHOWN_GROUPS:
        return Interval(value, np.nan, np.nan, np.nan)
    return t_interval(value, parts)


class Measured(NamedTuple):
    """The mAP of a row, with the parts of its variance."""

    value: float
    spread: Spread
    traits: Part
    """The part of other traits."""


def measure_row(row: Resampled, n_groups: int, traits: Traits) -> Measured:
    """What the intervals of a row's mAP are made of."""
    ap_T = row.ap_FST.mean(axis=(0, 1))
    of_traits = trait_part(ap_T, row.ap_RT, traits.attribute_T)
    return Measured(row.value, map_spread(row, n_groups), of_traits)


def tabulate_row(
    configuration: pd.Series, row: Measured, fit_variance: float, n_groups: int
) -> dict[str, object]:
    """The intervals of a row's mAP: over images and seeds, and over traits too.

    Args:
        configuration: the row of the mAP table.
        row: its mAP.
        fit_variance: the `mean_fit_variance` of the methods that are compared at its
            number of prototypes and `n_train`.
        n_groups: the groups of test images, such as species.
    """
    parts = row.spread.with_fits(fit_variance)
    ends = _two_intervals(row.value, parts, row.traits, n_groups)
    return {
        **{column: configuration[column] for column in CONFIGURATION},
        "map": row.value,
        **dict(zip(INTERVAL, ends[:4], strict=True)),
        "n_groups": n_groups,
    }


def tabulate_pairs(
    at: tuple[object, ...],
    rows: Mapping[str, Resampled],
    fit_variance: float,
    n_groups: int,
    traits: Traits,
) -> list[dict[str, object]]:
    """The differences of all pairs of methods at one place, and the traits won.

    A trait that too few groups of test images show is not tested. The others' p-values
    are corrected for all traits of all pairs.

    Args:
        at: the place, with the columns `AT`.
        rows: by method.
        fit_variance: the `mean_fit_variance` of these methods.
        n_groups: the groups of test images, such as species.
        traits: what the APs are of.
    """
    pairs = [*itertools.combinations(sorted(rows), 2)]
    if not pairs:
        return []
    enough_T = _have_enough_groups(traits, n_groups)
    p_PT = np.array(
        [trait_spread(rows[a], rows[b], traits.n_shown_groups_T).p_T for a, b in pairs]
    )
    p_PT[:, ~enough_T] = np.nan
    p_PT = holm(p_PT.ravel()).reshape(p_PT.shape)
    return [
        {
            **dict(zip(AT, at, strict=True)),
            "method_a": pair[0],
            "method_b": pair[1],
            **_difference(rows[pair[0]], rows[pair[1]], fit_variance, n_groups, traits),
            **_count_traits(rows[pair[0]], rows[pair[1]], p_T, enough_T),
        }
        for pair, p_T in zip(pairs, p_PT, strict=True)
    ]


def _difference(
    a: Resampled, b: Resampled, fit_variance: float, n_groups: int, traits: Traits
) -> dict[str, object]:
    """The difference of two methods' mAPs, with its intervals and p-value."""
    parts = difference_parts(a, b, n_groups, fit_variance)
    of_traits = trait_part(_lead(a, b), a.ap_RT - b.ap_RT, traits.attribute_T)
    *ends, p = _two_intervals(a.value - b.value, parts, of_traits, n_groups)
    ends = dict(zip(ENDS, ends, strict=True))
    return {"difference": a.value - b.value, **ends, "p": p}


def _count_traits(
    a: Resampled,
    b: Resampled,
    p_T: Float[np.ndarray, " t"],
    enough_T: Bool[np.ndarray, " t"],
) -> dict[str, object]:
    """How many traits the first method wins, by corrected p-values."""
    lead_T = _lead(a, b)
    n_won = int(((p_T < SIGNIFICANT) & (lead_T > 0)).sum())
    n_lost = int(((p_T < SIGNIFICANT) & (lead_T < 0)).sum())
    return {
        "n_won": n_won,
        "n_tied": int(enough_T.sum()) - n_won - n_lost,
        "n_lost": n_lost,
        "n_untested": int((~enough_T).sum()),
    }


def _lead(a: Resampled, b: Resampled) -> Float[np.ndarray, " t"]:
    """The first method's AP of each trait less the second's."""
    return a.ap_FST.mean(axis=(0, 1)) - b.ap_FST.mean(axis=(0, 1))


def tabulate_traits_of_row(
    configuration: pd.Series, row: Resampled, n_groups: int, traits: Traits
) -> pd.DataFrame:
    """The AP of each trait with its interval, which is cut at 0 and 1.

    A trait that too few groups of test images show has none.
    """
    spread = trait_spread(row, None, traits.n_shown_groups_T)
    reach_T = stdtrit(spread.df_T, 0.5 + LEVEL / 200) * np.sqrt(spread.variance_T)
    reach_T[~_have_enough_groups(traits, n_groups)] = np.nan
    return pd.DataFrame(
        {
            **{column: configuration[column] for column in CONFIGURATION},
            "trait": traits.names,
            "n_groups": traits.n_shown_groups_T,
            "ap": spread.value_T,
            "low": np.clip(spread.value_T - reach_T, 0, 1),
            "high": np.clip(spread.value_T + reach_T, 0, 1),
        }
    )


def _have_enough_groups(traits: Traits, n_groups: int) -> Bool[np.ndarray, " t"]:
    """Whether enough groups of test images show each trait, of enough groups in all."""
    return (traits.n_shown_groups_T >= MIN_SHOWN_GROUPS) & (n_groups >= MIN_GROUPS)


def _two_intervals(
    value: float, parts: Sequence[Part], of_traits: Part, n_groups: int
) -> tuple[float, float, float, float, float]:
    """Both intervals and the p-value of the first; NaN where groups are too few."""
    if n_groups < MIN_GROUPS:
        return (np.nan,) * 5
    images = t_interval(value, parts)
    with_traits = t_interval(value, [*parts, of_traits])
    # With more degrees of freedom than few seeds have, it could be the narrower one.
    low = np.minimum(images.low, with_traits.low)
    high = np.maximum(images.high, with_traits.high)
    return (images.low, images.high, float(low), float(high), images.p)
