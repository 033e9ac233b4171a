"""The main table: mAP of each configuration, with the chance level beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from vitproto.core.files import whole_file
from vitproto.report.shared.runs import SETTING
from vitproto.report.traits.ap_table import CONFIGURATION, METHOD, PAIR
from vitproto.report.traits.chosen_settings import rank_settings

COLUMNS = [
    "dataset",
    "encoder",
    "layer",
    "method",
    "n_prototypes",
    "n_train",
    "map",
    "p5",
    "p95",
    "chance",
    "n_traits",
    "n_seeds",
    "n_alive",
    "learning_rate",
    "sparsity",
]
"""Columns of `map_table.csv`."""

COMPARED = [*COLUMNS, "map_sd", "above_chance"]
"""Columns of `layer_table.csv` and `encoder_table.csv`."""

NO_BETTER = 1e-9
"""An mAP must exceed chance by more than this to count as above it: sums of AP are
rounded."""


def tabulate_configurations(ap: pd.DataFrame) -> pd.DataFrame:
    """Average the test AP of the chosen prototypes over traits, then over seeds.

    For each pair of a fit seed and a selection seed, it takes the mean and the 5th and
    95th percentile (linear between neighbours) of the test AP over the traits that a
    test image shows. It then takes the mean of each over the pairs. A trait for which
    no prototype could be chosen counts with its prevalence.

    Args:
        ap: the rows of `read_ap`.

    Returns:
        A row for each encoder, layer, method, number of prototypes, setting and
        `n_train`, sorted by these, with `COLUMNS` (`chance` is the mean prevalence
        over the same traits, which constant scores reach; `n_seeds` the number of
        pairs; `n_alive` the mean over the fit seeds) and

        - `map_sd`: the standard deviation of the mAP over the pairs (n − 1 in the
          denominator), NaN for a single pair;
        - `n_unselected`: scored traits for which no prototype could be chosen, mean
          over pairs;
        - `above_chance`: whether `map` exceeds `chance`;
        - `train_map`, `is_chosen` and `n_settings`, see `rank_settings`.
    """
    scored = ap[ap["test_ap"].notna()]
    if scored.empty:
        raise ValueError("no trait of the AP files is shown by any test image")
    pairs = (
        scored.assign(unselected=scored["prototype"].isna())
        .groupby(["dataset", *CONFIGURATION, *PAIR], dropna=False)
        .agg(
            map=("test_ap", "mean"),
            p5=("test_ap", lambda test_ap: np.percentile(test_ap, 5)),
            p95=("test_ap", lambda test_ap: np.percentile(test_ap, 95)),
            chance=("prevalence", "mean"),
            n_traits=("trait", "size"),
            n_unselected=("unselected", "sum"),
        )
    )
    fits = ap.groupby([*CONFIGURATION, "seed"], dropna=False)["n_alive"].first()
    alive = fits.groupby(CONFIGURATION, dropna=False).mean().reset_index()
    table = (
        pairs.groupby(["dataset", *CONFIGURATION], dropna=False)
        .agg(
            map=("map", "mean"),
            p5=("p5", "mean"),
            p95=("p95", "mean"),
            chance=("chance", "first"),
            n_traits=("n_traits", "first"),
            n_seeds=("map", "size"),
            map_sd=("map", "std"),
            n_unselected=("n_unselected", "mean"),
        )
        .reset_index()
        .merge(alive, on=CONFIGURATION)
        .merge(rank_settings(ap), on=[*METHOD, *SETTING])
    )
    table["above_chance"] = table["map"] > table["chance"] + NO_BETTER
    more = ["map_sd", "n_unselected", "above_chance"]
    return table[[*COLUMNS, *more, "train_map", "is_chosen", "n_settings"]]


def keep_compared(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that methods are compared by: chosen settings, largest `n_train`.

    Args:
        table: the rows of `tabulate_configurations`.
    """
    is_largest = table["n_train"] == table["n_train"].max()
    return table[is_largest & table["is_chosen"]]


def write_map_csv(table: pd.DataFrame, path: Path) -> None:
    """Write measures with 6 decimals, settings in full, and nothing for NaN."""
    text = table.copy()
    for column in text.select_dtypes("float64"):
        is_given = column in ("n_alive", *SETTING)
        number = "{:.12g}" if is_given else "{:.6f}"
        text[column] = text[column].map(number.format, na_action="ignore")
    with whole_file(path) as partial:
        text.to_csv(partial, index=False, lineterminator="\n")
