"""Measures of each autoencoder, read from the files that evaluation writes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.report.shared.runs import FAMILY, RUN, SETTING, name_setting
from vitproto.report.shared.typed_csv import read_together, read_typed, refuse
from vitproto.report.shared.wording import CONTROL_BADGE

COLUMNS = {
    "encoder": "str",
    "layer": "int64",
    "method": "str",
    "n_prototypes": "int64",
    "learning_rate": "float64",
    "sparsity": "float64",
    "seed": "int64",
    "n_patches": "int64",
    "mse": "float64",
    "nmse": "float64",
    "explained_variance": "float64",
    "l0": "float64",
    "l1": "float64",
    "n_dead": "int64",
    "n_almost_dead": "int64",
    "n_dense": "int64",
    "mean_absolute_correlation": "float64",
    "coherence": "float64",
    "n_trained_patches": "int64",
    "nmse_slope": "float64",
}
"""Columns of `sae_metrics.csv`, and their types."""

MAY_BE_EMPTY = [
    "learning_rate",
    "sparsity",
    "mean_absolute_correlation",
    "coherence",
    "nmse_slope",
]

COMPARED = [*FAMILY, "n_prototypes", *SETTING]
"""Columns that name a row of the table, which averages over seeds."""


def read_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the measures of all autoencoders.

    Args:
        paths: CSV files with the columns of `COLUMNS`, in any order.

    Returns:
        All rows, sorted by setting and seed.

    Raises:
        ValueError: no file was named, a column is missing, a value is not a number or
            impossible, or an autoencoder is there twice.
    """
    return read_together(paths, _read_checked, RUN, "files of metrics")


def name_kind(row: pd.Series) -> str:
    """Name the kind of an autoencoder, with a badge if nothing trained it.

    Args:
        row: a row of metrics, or of `tabulate_settings`.
    """
    badge = "" if row["n_trained_patches"] else f" {CONTROL_BADGE}"
    return f"{row['method']}{badge}"


def describe_setting(row: pd.Series) -> str:
    """Tell the autoencoders of a setting from the others of their family."""
    setting = name_setting(row)
    size = f"{row['n_prototypes']} latents"
    return f"{size}, {setting}" if setting else size


def _read_checked(path: Path) -> pd.DataFrame:
    metrics = read_typed(path, COLUMNS, MAY_BE_EMPTY)
    n_special = metrics[["n_dead", "n_almost_dead", "n_dense"]].sum(axis=1)
    mistakes = {
        "an error or a number of latents is negative": (
            metrics[["mse", "nmse", "l0", "l1", "n_dead"]] < 0
        ).any(axis=1),
        "more latents are dead, almost dead or dense than there are": (
            n_special > metrics["n_prototypes"]
        ),
        "it was trained on a negative number of patches": (
            metrics["n_trained_patches"] < 0
        ),
        "no patches were held out": metrics["n_patches"] < 1,
    }
    refuse(path, metrics, mistakes, "run evaluate_saes again")
    return metrics
