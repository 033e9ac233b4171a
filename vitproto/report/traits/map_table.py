"""The main table: mAP of each configuration, beside chance, null and ceiling."""

from pathlib import Path

import numpy as np
import pandas as pd

from vitproto.core.files import whole_file
from vitproto.report.shared.runs import SETTING
from vitproto.report.shared.typed_csv import describe_row, read_typed
from vitproto.report.traits.ap_table import CONFIGURATION, PAIR
from vitproto.report.traits.ceiling import share_of_ceiling
from vitproto.report.traits.chosen_settings import keep_largest, rank_settings
from vitproto.report.traits.statistics import Statistics

COLUMNS = {
    "dataset": "str",
    "encoder": "str",
    "layer": "int64",
    "method": "str",
    "n_prototypes": "int64",
    "n_train": "int64",
    "map": "float64",
    "p5": "float64",
    "p95": "float64",
    "chance": "float64",
    "n_traits": "int64",
    "n_seeds": "int64",
    "n_alive": "float64",
    "learning_rate": "float64",
    "sparsity": "float64",
    "map_low": "float64",
    "map_high": "float64",
    "map_low_traits": "float64",
    "map_high_traits": "float64",
    "prevalence": "float64",
    "null": "float64",
    "null_high": "float64",
    "optimism": "float64",
    "ceiling": "float64",
    "ceiling_low": "float64",
    "ceiling_high": "float64",
    "ceiling_pooling": "str",
    "ceiling_share": "float64",
    "map_sd": "float64",
    "n_groups": "int64",
    "n_unselected": "float64",
    "above_chance": "bool",
    "train_map": "float64",
    "is_chosen": "bool",
    "n_settings": "int64",
    "n_fits": "int64",
    "n_permutations": "int64",
}
"""Columns of `map_table.csv`, and their types."""

MAY_BE_EMPTY = [
    *SETTING,
    *("map_low", "map_high", "map_low_traits", "map_high_traits"),
    *("optimism", "ceiling", "ceiling_low", "ceiling_high", "ceiling_share"),
    "ceiling_pooling",
    *("map_sd", "train_map"),
]

GIVEN = ("n_alive", *SETTING)
"""Columns that are written in full; measures have 6 decimals."""

CEILING = ["ceiling", "ceiling_low", "ceiling_high"]
"""What a supervised probe reaches, and its interval."""

SAME = 1e-9
"""Largest difference of an mAP from that of its interval: terms are summed in another
order."""


def tabulate_configurations(
    ap: pd.DataFrame, statistics: Statistics, ceiling: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Average the test AP of the chosen prototypes over traits, then over seeds.

    For each pair of a fit seed and a selection seed, it takes the mean and the 5th and
    95th percentile (linear between neighbours) of the test AP over the traits that a
    test image shows. It then takes the mean of each over the pairs. A trait for which
    no prototype could be chosen counts with its chance level.

    Args:
        ap: the rows of `read_ap`.
        statistics: the intervals and the null of the same configurations.
        ceiling: the rows of `tabulate_ceiling`; None if nothing was supervised.

    Returns:
        `COLUMNS`: a row for each encoder, layer, method, number of prototypes, setting
        and `n_train`, sorted by these.

        - `chance`: the expected mAP of a random ranking of the test images;
          `prevalence`: the mean share of test images that show a trait, which is the
          mAP of constant scores;
        - `map_low`, `map_high`: the interval of `map` over test images and seeds;
          `map_low_traits`, `map_high_traits`: over traits too;
        - `null`, `null_high`: mean and 95th percentile of the mAP over
          `n_permutations` of the labels; `above_chance`: whether `map` exceeds
          `null_high`;
        - `optimism`: AP of the chosen prototypes on the images that chose them, less
          that on test images, over traits with a prototype;
        - `ceiling`: mAP of a supervised probe of the same layer and `n_train`, and
          `ceiling_low`, `ceiling_high`, its interval over test images and seeds;
          `ceiling_pooling`: how the activations that it reads are pooled;
          `ceiling_share`: (map − chance) / (ceiling − chance);
        - `n_seeds`: the number of pairs; `n_fits`: of fit seeds; `map_sd`: the
          standard deviation of the mAP over the pairs (n − 1 in the denominator), NaN
          for a single pair; `n_alive`: mean over the fit seeds; `n_unselected`: traits
          without a prototype, mean over pairs; `n_groups`: the groups of test images,
          such as species;
        - `train_map`, `is_chosen` and `n_settings`: see `rank_settings`.

    Raises:
        ValueError: no test image shows a trait, or the statistics are of other
            configurations.
    """
    scored = ap[ap["test_ap"].notna()]
    if scored.empty:
        raise ValueError("no trait of the AP files is shown by any test image")
    pairs = (
        scored.assign(
            unselected=scored["prototype"].isna(),
            optimism=scored["train_ap"] - scored["test_ap"],
        )
        .groupby(["dataset", *CONFIGURATION, *PAIR], dropna=False)
        .agg(
            map=("test_ap", "mean"),
            p5=("test_ap", lambda test_ap: np.percentile(test_ap, 5)),
            p95=("test_ap", lambda test_ap: np.percentile(test_ap, 95)),
            chance=("chance", "mean"),
            prevalence=("prevalence", "mean"),
            n_traits=("trait", "size"),
            n_unselected=("unselected", "sum"),
            optimism=("optimism", "mean"),
        )
    )
    means = ["map", "p5", "p95", "chance", "prevalence", "n_unselected", "optimism"]
    rows = pairs.groupby(["dataset", *CONFIGURATION], dropna=False)
    fits = ap.groupby([*CONFIGURATION, "seed"], dropna=False)["n_alive"].first()
    fits = fits.groupby(CONFIGURATION, dropna=False).agg(n_alive="mean", n_fits="size")
    table = (
        rows[means]
        .mean()
        .assign(
            n_traits=rows["n_traits"].first(),
            n_seeds=rows["map"].size(),
            map_sd=rows["map"].std(),
        )
        .reset_index()
        .merge(fits.reset_index())
        .merge(rank_settings(ap), on=CONFIGURATION)
    )
    table = _add(table, statistics.intervals.rename(columns={"map": "resampled"}))
    apart = (table["map"] - table["resampled"]).abs() > SAME
    if apart.any():
        row = describe_row(table[apart].iloc[0], CONFIGURATION)
        raise ValueError(
            f"the intervals are of another mAP than ap.csv for {row}: run "
            "compare_methods again"
        )
    table = _add(table, statistics.null)
    table["above_chance"] = table["map"] - table["null_high"] > SAME
    table[[*CEILING, "ceiling_share"]] = np.nan
    table["ceiling_pooling"] = pd.Series(pd.NA, index=table.index, dtype="str")
    if ceiling is not None:
        place = ["encoder", "layer", "n_train"]
        highest = _find_ceilings(ceiling, statistics.ceilings).set_index(place)
        at = pd.MultiIndex.from_frame(table[place])
        table[CEILING] = highest[CEILING].reindex(at).to_numpy()
        table["ceiling_pooling"] = highest["pooling"].reindex(at).to_numpy()
        table["ceiling_share"] = share_of_ceiling(
            table["map"], table["chance"], table["ceiling"]
        )
    return table[list(COLUMNS)]


def _find_ceilings(ceiling: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """Add the intervals of the chosen pooling, and refuse those of other probes."""
    place = ["encoder", "layer", "n_train", "pooling"]
    ceilings = ceiling.merge(intervals, on=place, how="left")
    apart = ~((ceilings["ceiling"] - ceilings["map"]).abs() <= SAME)
    if apart.any():
        row = describe_row(ceilings[apart].iloc[0], place)
        raise ValueError(
            f"the interval of the ceiling is of other probes than ceiling.csv for "
            f"{row}: run compare_methods again"
        )
    ends = {"map_low": "ceiling_low", "map_high": "ceiling_high"}
    return ceilings.rename(columns=ends)


def _add(table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Add columns by configuration, and refuse files that lack one."""
    merged = table.merge(more, on=CONFIGURATION, how="left", indicator=True)
    lacking = merged["_merge"] != "both"
    if lacking.any() or len(more) != len(table):
        row = (
            describe_row(merged[lacking].iloc[0], CONFIGURATION)
            if lacking.any()
            else ""
        )
        raise ValueError(
            f"{len(table)} configurations have AP, and {len(more)} statistics"
            f"{f'; lacking: {row}' if row else ''}: give the files of all layers and "
            "families of the study, and of no others"
        )
    return merged.drop(columns="_merge")


def keep_compared(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that methods are compared by: chosen settings, largest `n_train`.

    Args:
        table: the rows of `tabulate_configurations`.
    """
    largest = keep_largest(table)
    return largest[largest["is_chosen"]]


def write_map_csv(table: pd.DataFrame, path: Path) -> None:
    """Write measures with 6 decimals, settings in full, and nothing for NaN."""
    text = table.copy()
    for column in text.select_dtypes("float64"):
        number = "{:.12g}" if column in GIVEN else "{:.6f}"
        text[column] = text[column].map(number.format, na_action="ignore")
    with whole_file(path) as partial:
        text.to_csv(partial, index=False, lineterminator="\n")


def read_map_csv(path: Path) -> pd.DataFrame:
    """Read `map_table.csv`: the rows of `tabulate_configurations`, with 6 decimals."""
    return read_typed(path, COLUMNS, MAY_BE_EMPTY)
