"""The table of autoencoders: measures of each setting, averaged over seeds."""

import pandas as pd

from vitproto.prototypes.sae.convergence import STILL_IMPROVING
from vitproto.report.saes.metrics import COMPARED

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
    "nmse_slope",
]
"""Columns that are averaged over seeds. In `sae_table.csv` each is followed by its
standard deviation, such as `nmse_sd`."""


def tabulate_settings(metrics: pd.DataFrame) -> pd.DataFrame:
    """Average the measures of each setting over seeds.

    Args:
        metrics: the rows of `read_metrics`.

    Returns:
        A row for each setting, sorted, with `n_seeds`, `n_patches` (held out),
        `n_trained_patches`, `n_improving`, which is the number of seeds whose error
        still fell when training ended, and the mean and the standard deviation (n − 1
        in the denominator; NaN for a single seed) over seeds of each of `MEASURED`; NaN
        if no seed has a value.
    """
    is_improving = metrics["nmse_slope"] <= -STILL_IMPROVING
    groups = metrics.assign(is_improving=is_improving).groupby(COMPARED, dropna=False)
    columns = {
        "n_seeds": groups["seed"].size(),
        "n_patches": groups["n_patches"].first(),
        "n_trained_patches": groups["n_trained_patches"].first(),
        "n_improving": groups["is_improving"].sum(),
    }
    for name in MEASURED:
        columns[name] = groups[name].mean()
        columns[f"{name}_sd"] = groups[name].std()
    return pd.DataFrame(columns).reset_index()
