"""How autoencoders learnt, read from the logs of their training."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from vitproto.runs import Run

COLUMNS = {
    "run": "str",
    "step": "int64",
    "n_patches": "int64",
    "learning_rate": "float64",
    "sparsity": "float64",
    "loss": "float64",
    "mse": "float64",
    "sparsity_loss": "float64",
    "aux_loss": "float64",
    "l0": "float64",
    "n_dead": "float64",
    "gradient_norm": "float64",
}
"""Columns of `training.csv`, and what they hold: a row for each run and logged step."""


def read_training(paths: Mapping[str, Path]) -> pd.DataFrame:
    """How did each autoencoder learn?

    Args:
        paths: the CSV file of each family, by the family's name. A file without rows
            is that of autoencoders that are not trained.

    Returns:
        All rows, sorted by family, run and step, with `family`, `n_prototypes`, `seed`
        and what the run was to use at most: `run_learning_rate`, `run_sparsity` (NaN
        where it has none).

    Raises:
        ValueError: other columns, a value that is no number, a name that is no run's,
            or a step that stands there twice.
    """
    parts = [_read_file(path, family) for family, path in sorted(paths.items())]
    training = pd.concat(parts, ignore_index=True)
    return training.sort_values(
        ["family", "n_prototypes", "run_learning_rate", "run_sparsity", "seed", "step"],
        ignore_index=True,
    )


def _read_file(path: Path, family: str) -> pd.DataFrame:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip()
    if header != ",".join(COLUMNS):
        raise ValueError(
            f"{path}: expected the columns {','.join(COLUMNS)}, got "
            f"{header or 'nothing'}"
        )
    try:
        training = pd.read_csv(path, dtype=COLUMNS)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    twice = training.duplicated(["run", "step"])
    if twice.any():
        row = training.loc[twice].iloc[0]
        raise ValueError(
            f"{path}: step {row['step']} of {row['run']} stands there twice: train "
            "the family again"
        )
    runs = [Run.parse(name) for name in training["run"]]
    return training.assign(
        family=family,
        n_prototypes=pd.Series([run.n_prototypes for run in runs], dtype="int64"),
        seed=pd.Series([run.seed for run in runs], dtype="int64"),
        run_learning_rate=pd.Series(
            [run.learning_rate for run in runs], dtype="float64"
        ),
        run_sparsity=pd.Series([run.sparsity for run in runs], dtype="float64"),
    )
