"""Intervals, comparisons and null of a study, read from the files of other stages."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vitproto.report.shared.typed_csv import read_together, read_typed
from vitproto.report.traits.ap_table import CONFIGURATION, PLACE

_CONFIGURATION = {
    "encoder": "str",
    "layer": "int64",
    "method": "str",
    "n_prototypes": "int64",
    "learning_rate": "float64",
    "sparsity": "float64",
    "n_train": "int64",
}

INTERVALS = {
    **_CONFIGURATION,
    "map": "float64",
    "map_low": "float64",
    "map_high": "float64",
    "map_low_traits": "float64",
    "map_high_traits": "float64",
    "n_groups": "int64",
}
"""Columns of `map_intervals.csv`."""

PAIRS = {
    "encoder": "str",
    "layer": "int64",
    "n_prototypes": "int64",
    "n_train": "int64",
    "method_a": "str",
    "method_b": "str",
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "low_traits": "float64",
    "high_traits": "float64",
    "p": "float64",
    "n_won": "int64",
    "n_tied": "int64",
    "n_lost": "int64",
    "n_untested": "int64",
}
"""Columns of `method_pairs.csv`."""

NULL = {
    "study": "str",
    "dataset": "str",
    **_CONFIGURATION,
    "selection_seed": "int64",
    "permutation": "int64",
    "map": "float64",
}
"""Columns of `null.csv`."""

RULES = {
    "encoder": "str",
    "layer": "int64",
    "n_prototypes": "int64",
    "n_train": "int64",
    "method": "str",
    "rule": "str",
    "n_traits": "int64",
    "map": "float64",
    "configured_map": "float64",
    "chance": "float64",
    "configured_chance": "float64",
}
"""Columns of `label_rules.csv`."""

GROUPS = {
    **_CONFIGURATION,
    "kind": "str",
    "group": "str",
    "n_traits": "int64",
    "ap": "float64",
    "ap_low": "float64",
    "ap_high": "float64",
    "chance": "float64",
    "difference": "float64",
    "difference_low": "float64",
    "difference_high": "float64",
    "n_groups": "int64",
}
"""Columns of `group_intervals.csv`."""

TRAIT_INTERVALS = {
    **_CONFIGURATION,
    "trait": "str",
    "n_groups": "int64",
    "ap": "float64",
    "low": "float64",
    "high": "float64",
}
"""Columns of `trait_intervals.csv`."""

CEILINGS = {
    "encoder": "str",
    "layer": "int64",
    "n_train": "int64",
    "pooling": "str",
    "map": "float64",
    "map_low": "float64",
    "map_high": "float64",
}
"""Columns of `ceiling_intervals.csv`."""

NULL_PERCENTILE = 95
"""An mAP above this percentile of the permutations is above chance."""


@dataclass(frozen=True)
class StatisticsFiles:
    """What other stages measured about the mAPs of a study, in any order."""

    intervals: tuple[Path, ...]
    """The map_intervals.csv of each layer."""
    pairs: tuple[Path, ...]
    """The method_pairs.csv of each layer."""
    null: tuple[Path, ...]
    """The null.csv of each family."""
    ceiling: tuple[Path, ...]
    """The ceiling.csv of each layer."""
    ceiling_intervals: tuple[Path, ...]
    """The ceiling_intervals.csv of each layer."""
    rules: tuple[Path, ...]
    """The label_rules.csv of each layer."""


@dataclass(frozen=True)
class Statistics:
    """What `StatisticsFiles` hold."""

    intervals: pd.DataFrame
    """A row per configuration and `n_train`, with the ends of both intervals."""
    pairs: pd.DataFrame
    """A row per two methods at an equal number of prototypes and `n_train`."""
    null: pd.DataFrame
    """A row per configuration and `n_train`: `null`, the mean mAP over permutations of
    the labels, `null_high`, their 95th percentile, and `n_permutations`."""
    ceilings: pd.DataFrame
    """A row per encoder, layer, `n_train` and pooling, with the ends of intervals."""
    rules: pd.DataFrame
    """A row per method, number of prototypes and label rule, at the largest
    `n_train`."""


def read_statistics(files: StatisticsFiles, study: str) -> Statistics:
    """Read what other stages measured.

    Raises:
        ValueError: a file is missing, damaged or another study's.
    """
    gaps = ["learning_rate", "sparsity"]
    ends = ["map_low", "map_high", "map_low_traits", "map_high_traits"]
    intervals = read_together(
        files.intervals,
        lambda path: read_typed(path, INTERVALS, [*gaps, *ends]),
        CONFIGURATION,
        "files of intervals",
    )
    ends = ["low", "high", "low_traits", "high_traits", "p"]
    pairs = read_together(
        files.pairs,
        lambda path: read_typed(path, PAIRS, ends),
        [*PLACE, "n_train", "method_a", "method_b"],
        "files of comparisons",
    )
    null = read_together(
        files.null,
        lambda path: _read_null(path, study, gaps),
        [*CONFIGURATION, "permutation"],
        "files of permuted labels",
    )
    permuted = null.groupby(CONFIGURATION, dropna=False)["map"]
    summary = permuted.agg(
        null="mean",
        null_high=lambda maps: maps.quantile(NULL_PERCENTILE / 100),
        n_permutations="size",
    )
    ceilings = read_together(
        files.ceiling_intervals,
        lambda path: read_typed(path, CEILINGS, ["map_low", "map_high"]),
        ["encoder", "layer", "n_train", "pooling"],
        "files of ceilings",
    )
    rules = read_together(
        files.rules,
        lambda path: read_typed(path, RULES, []),
        [*PLACE, "method", "rule"],
        "files of label rules",
    )
    return Statistics(intervals, pairs, summary.reset_index(), ceilings, rules)


def _read_null(path: Path, study: str, gaps: list[str]) -> pd.DataFrame:
    null = read_typed(path, NULL, gaps)
    named = ", ".join(sorted(null["study"].unique()))
    if named != study:
        raise ValueError(
            f"{path} has the study {named or 'none'}, expected {study}: delete it and "
            "permute labels again"
        )
    return null
