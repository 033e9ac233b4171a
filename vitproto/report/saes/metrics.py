"""What each autoencoder is like, read from the files that evaluation writes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

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
}
"""Columns of `sae_metrics.csv`, and what they hold."""

MAY_BE_EMPTY = [
    "learning_rate",
    "sparsity",
    "mean_absolute_correlation",
    "coherence",
]

FAMILY = ["encoder", "layer", "method"]
SETTING = [*FAMILY, "n_prototypes", "learning_rate", "sparsity"]
"""What the rows of the table compare; they average over seeds."""


def read_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """What is each autoencoder like?

    Args:
        paths: CSV files with the columns of `COLUMNS`, in any order.

    Returns:
        All rows, sorted by setting and seed.

    Raises:
        ValueError: no file, other columns, a value that is no number or impossible,
            or an autoencoder that stands there twice.
    """
    if not paths:
        raise ValueError("no file of metrics was named: name those of evaluate_saes")
    metrics = pd.concat([_read_file(path) for path in sorted(paths)], ignore_index=True)
    key = [*SETTING, "seed"]
    twice = metrics.duplicated(key)
    if twice.any():
        row = metrics.loc[twice].iloc[0]
        raise ValueError(
            f"{twice.sum()} autoencoders stand twice in the files of metrics, the "
            f"first: {', '.join(f'{name} {row[name]}' for name in key)}: give each "
            "file once"
        )
    return metrics.sort_values(key, ignore_index=True)


def describe_setting(row: pd.Series) -> str:
    """How are the autoencoders of a setting told from the others of their family?"""
    words = [f"{row['n_prototypes']} latents"]
    if not pd.isna(row["learning_rate"]):
        words.append(f"learning rate {row['learning_rate']:.6g}")
    if not pd.isna(row["sparsity"]):
        words.append(f"sparsity {row['sparsity']:.6g}")
    return ", ".join(words)


def _read_file(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip()
    if header != ",".join(COLUMNS):
        raise ValueError(
            f"{path}: expected the columns {','.join(COLUMNS)}, got "
            f"{header or 'nothing'}"
        )
    try:
        metrics = pd.read_csv(
            path,
            dtype=COLUMNS,
            keep_default_na=False,
            na_values={column: [""] for column in MAY_BE_EMPTY},
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    n_known = metrics[["n_dead", "n_almost_dead", "n_dense"]].sum(axis=1)
    mistakes = {
        "an error or a number of latents is negative": (
            metrics[["mse", "nmse", "l0", "l1", "n_dead"]] < 0
        ).any(axis=1),
        "more latents are dead, almost dead or dense than there are": (
            n_known > metrics["n_prototypes"]
        ),
        "no patches were held out": metrics["n_patches"] < 1,
    }
    for mistake, bad in mistakes.items():
        if bad.any():
            line = int(bad.to_numpy().argmax()) + 2
            raise ValueError(f"{path}, line {line}: {mistake}: run evaluate_saes again")
    return metrics
