"""The table of autoencoders: what those of each setting are like, over seeds."""

import pandas as pd

from vitproto.report.saes.metrics import SETTING

MEASURED = [
    "mse",
    "nmse",
    "explained_variance",
    "l0",
    "l1",
    "n_dead",
    "n_almost_dead",
    "n_dense",
    "mean_absolute_correlation",
    "coherence",
]
"""What is averaged over seeds. In `sae_table.csv` each is followed by its standard
deviation, such as `nmse_sd`."""


def tabulate(metrics: pd.DataFrame) -> pd.DataFrame:
    """What are the autoencoders of each setting like?

    Args:
        metrics: what `read_metrics` gives.

    Returns:
        A row for each setting, sorted, with `n_seeds`, `n_patches`, and the mean and
        the standard deviation (n − 1 in the denominator; NaN for a single seed) over
        seeds of each of `MEASURED`. What no seed has is NaN.
    """
    groups = metrics.groupby(SETTING, dropna=False)
    columns = {
        "n_seeds": groups["seed"].size(),
        "n_patches": groups["n_patches"].first(),
    }
    for name in MEASURED:
        columns[name] = groups[name].mean()
        columns[f"{name}_sd"] = groups[name].std()
    return pd.DataFrame(columns).reset_index()
