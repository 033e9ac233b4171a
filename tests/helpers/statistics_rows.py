"""Planted statistics of AP rows, as `read_statistics` gives them."""

import itertools

import pandas as pd

from vitproto.report.traits.ap_table import CONFIGURATION, PAIR
from vitproto.report.traits.chosen_settings import keep_chosen
from vitproto.report.traits.interval_table import AT
from vitproto.report.traits.statistics import (
    CEILINGS,
    GROUPS,
    RULES,
    TRAIT_INTERVALS,
    Statistics,
)
from vitproto.report.traits.trait_groups import find_group, find_kind

CEILING = {"max": 0.7, "mean": 0.6}
"""What probes of each pooling reach."""


def statistics_of(
    ap: pd.DataFrame, reach=0.01, null_high=None, p=0.001, n_groups=20
) -> Statistics:
    """Intervals of ± reach around each mAP, and comparisons with p-value p.

    Args:
        ap: AP rows.
        reach: half the length of intervals; NaN for none.
        null_high: the 95th percentile on permuted labels; chance if not given.
        p: uncorrected p-value of each comparison; or a function of two methods.
        n_groups: classes of test images.
    """
    scored = ap[ap["test_ap"].notna()]
    pairs = scored.groupby([*CONFIGURATION, *PAIR], dropna=False)
    means = pairs[["test_ap", "chance"]].mean()
    rows = means.groupby(CONFIGURATION, dropna=False).mean().reset_index()
    rows = rows.rename(columns={"test_ap": "map"})
    intervals = rows[[*CONFIGURATION, "map"]].assign(
        map_low=rows["map"] - reach,
        map_high=rows["map"] + reach,
        map_low_traits=rows["map"] - 2 * reach,
        map_high_traits=rows["map"] + 2 * reach,
        n_groups=n_groups,
    )
    null = rows[CONFIGURATION].assign(
        null=rows["chance"],
        null_high=rows["chance"] if null_high is None else null_high,
        n_permutations=200,
    )
    chosen = keep_chosen(scored)[CONFIGURATION].drop_duplicates()
    compared = intervals.merge(chosen, on=CONFIGURATION)
    tests = []
    for at, group in compared.groupby(AT):
        for (_, a), (_, b) in itertools.combinations(
            group.sort_values("method").iterrows(), 2
        ):
            difference = a["map"] - b["map"]
            value = p(a["method"], b["method"]) if callable(p) else p
            tests.append(
                {
                    **dict(zip(AT, at, strict=True)),
                    "method_a": a["method"],
                    "method_b": b["method"],
                    "difference": difference,
                    "low": difference - reach,
                    "high": difference + reach,
                    "low_traits": difference - 2 * reach,
                    "high_traits": difference + 2 * reach,
                    "p": value,
                    "n_won": 2,
                    "n_tied": 1,
                    "n_lost": 0,
                    "n_untested": 4,
                }
            )
    places = [*rows[["encoder", "layer", "n_train"]].drop_duplicates().itertuples()]
    ceilings = [
        [*place[1:], pooling, value, value - reach, value + reach]
        for place in places
        for pooling, value in CEILING.items()
    ]
    columns = [*AT, "method_a", "method_b", "difference", "low", "high"]
    columns += ["low_traits", "high_traits", "p", "n_won", "n_tied", "n_lost"]
    columns += ["n_untested"]
    pairs = pd.DataFrame(tests, columns=columns)
    return Statistics(
        *(intervals, pairs, null, pd.DataFrame(ceilings, columns=list(CEILINGS))),
        pd.DataFrame(columns=list(RULES)),
    )


def trait_intervals_of(ap: pd.DataFrame, reach=0.01) -> pd.DataFrame:
    """The rows of `trait_intervals.csv`, with intervals of ± reach."""
    rows = ap[ap["test_ap"].notna()].groupby([*CONFIGURATION, "trait"], dropna=False)
    table = rows.agg(ap=("test_ap", "mean")).reset_index()
    return table.assign(n_groups=20, low=table["ap"] - reach, high=table["ap"] + reach)[
        list(TRAIT_INTERVALS)
    ]


def groups_of(ap: pd.DataFrame, reach=0.01, n_groups=20) -> pd.DataFrame:
    """The rows of `group_intervals.csv`, with intervals of ± reach."""
    rows = keep_chosen(ap[ap["test_ap"].notna()])
    rows = rows[rows["n_train"] == ap["n_train"].max()]
    rows = rows.assign(kind=rows["trait"].map(find_kind))
    tables = []
    for group in ("", rows["trait"].map(find_group)):
        keys = [*CONFIGURATION, "kind", "group"]
        means = (
            rows.assign(group=group)
            .groupby(keys, dropna=False)
            .agg(
                n_traits=("trait", "nunique"),
                ap=("test_ap", "mean"),
                chance=("chance", "mean"),
            )
        )
        tables.append(means.reset_index())
    table = pd.concat(tables, ignore_index=True)
    table["difference"] = table["ap"] - table["chance"]
    for name in ("ap", "difference"):
        table[f"{name}_low"] = table[name] - reach
        table[f"{name}_high"] = table[name] + reach
    return table.assign(n_groups=n_groups)[list(GROUPS)]
