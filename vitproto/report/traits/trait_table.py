"""AP of each trait in one configuration."""

import pandas as pd

from vitproto.report.traits.ap_table import CONFIGURATION, matches


def tabulate_traits(ap: pd.DataFrame, configuration: pd.Series) -> pd.DataFrame:
    """Tabulate the test AP of each trait, with chance.

    Args:
        ap: the rows of `read_ap`.
        configuration: a row of `tabulate_configurations`.

    Returns:
        A row for each trait that a test image shows, the highest AP first: `trait`;
        `test_ap`, mean over the pairs of seeds; `chance`, the expected AP of a
        random ranking of the test images; `n_unselected`, the pairs in which no
        prototype could be chosen; `n_seeds`, the number of pairs.
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
    # Equals by name.
    order = ["test_ap", "trait"]
    return traits.sort_values(order, ascending=[False, True], ignore_index=True)
