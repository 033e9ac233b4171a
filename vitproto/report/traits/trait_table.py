"""AP of each trait in one configuration."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.report.shared.typed_csv import read_together, read_typed
from vitproto.report.traits.ap_table import CONFIGURATION, matches
from vitproto.report.traits.statistics import TRAIT_INTERVALS


def read_trait_intervals(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the intervals of single traits, of all layers of a study.

    Args:
        paths: the `trait_intervals.csv` of each layer, in any order.
    """
    may_be_empty = ["learning_rate", "sparsity", "low", "high"]
    return read_together(
        paths,
        lambda path: read_typed(path, TRAIT_INTERVALS, may_be_empty),
        [*CONFIGURATION, "trait"],
        "files of intervals of traits",
    )


def tabulate_traits(
    ap: pd.DataFrame, intervals: pd.DataFrame, configuration: pd.Series
) -> pd.DataFrame:
    """Tabulate the test AP of each trait, with its interval and chance.

    Args:
        ap: the rows of `read_ap`.
        intervals: the rows of `read_trait_intervals`.
        configuration: a row of `tabulate_configurations` whose setting was chosen.

    Returns:
        A row for each trait that a test image shows, the highest AP first: `trait`;
        `test_ap`, mean over the pairs of seeds; `low` and `high`, NaN if too few
        classes of test images show it; `chance`, the expected AP of a random ranking
        of the test images; `n_unselected`, the pairs in which no prototype could be
        chosen; `n_seeds`, the number of pairs.

    Raises:
        ValueError: the intervals are of other traits than the AP.
    """
    rows = ap[ap["test_ap"].notna() & matches(ap, configuration, CONFIGURATION)]
    traits = (
        rows.assign(unselected=rows["prototype"].isna())
        .groupby("trait")
        .agg(
            test_ap=("test_ap", "mean"),
            chance=("chance", "first"),
            n_unselected=("unselected", "sum"),
            n_seeds=("test_ap", "size"),
        )
        .reset_index()
    )
    own = intervals[matches(intervals, configuration, CONFIGURATION)]
    if sorted(own["trait"]) != sorted(traits["trait"]):
        raise ValueError(
            f"the intervals are of {len(own)} traits in the configuration with the "
            f"highest mAP, the AP of {len(traits)}, not the same: compare methods again"
        )
    traits = traits.merge(own[["trait", "low", "high"]], on="trait")
    # Equals by name.
    order = ["test_ap", "trait"]
    return traits.sort_values(order, ascending=[False, True], ignore_index=True)
