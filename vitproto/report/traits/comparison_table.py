"""All comparisons of two methods, with p-values corrected for their number."""

import numpy as np
import pandas as pd

from vitproto.core.confidence import SIGNIFICANT, holm
from vitproto.report.traits.statistics import PAIRS

COLUMNS = ["dataset", *PAIRS, "p_holm", "winner"]
"""Columns of `comparison_table.csv`."""

FAMILY_OF_TESTS = ["encoder", "layer", "n_train"]
"""Comparisons that agree in these are corrected together: those of a printed matrix,
over all numbers of prototypes."""


def tabulate_comparisons(pairs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Correct p-values, and name the winner of each comparison if there is one.

    Args:
        pairs: the pairs of `read_statistics`.
        dataset: the data set, for the column of that name.

    Returns:
        `COLUMNS`, a row per encoder, layer, number of prototypes, `n_train` and two
        methods. `winner` is the method with the higher mAP if the corrected p-value
        is below `SIGNIFICANT`, else it is empty.
    """
    table = pairs.assign(dataset=dataset, p_holm=np.nan)
    for _, rows in table.groupby(FAMILY_OF_TESTS):
        table.loc[rows.index, "p_holm"] = holm(rows["p"].to_numpy())
    higher = table["method_a"].where(table["difference"] > 0, table["method_b"])
    table["winner"] = higher.where(table["p_holm"] < SIGNIFICANT, "")
    return table[COLUMNS]


def compare_with_best(
    comparisons: pd.DataFrame, best: str, others: list[str]
) -> pd.DataFrame:
    """The comparisons of the best method with others, seen from the best.

    Args:
        comparisons: rows of `tabulate_comparisons` at one number of prototypes and
            `n_train` in one layer.
        best: the method with the highest mAP.
        others: the other methods.

    Returns:
        A row for each of the others, in their order, with its name in `method`:
        `difference` is the best one's mAP less its own, and `n_won` counts traits that
        the best one wins.
    """
    is_first = comparisons["method_a"] == best
    swapped = comparisons.rename(
        columns={
            "low": "high",
            "high": "low",
            "low_traits": "high_traits",
            "high_traits": "low_traits",
            "n_won": "n_lost",
            "n_lost": "n_won",
            "method_a": "method_b",
            "method_b": "method_a",
        }
    )
    for column in ("difference", "low", "high", "low_traits", "high_traits"):
        swapped[column] = -swapped[column]
    seen = pd.concat([comparisons[is_first], swapped[swapped["method_a"] == best]])
    return seen.rename(columns={"method_b": "method"}).set_index("method").loc[others]
