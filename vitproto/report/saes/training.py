"""How autoencoders learnt, read from the logs of their training."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.study.family import Family
from vitproto.study.run import Run

COLUMNS = {
    "encoder": "str",
    "layer": "int64",
    "method": "str",
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


FAMILY = ["encoder", "layer", "method"]


def read_training(paths: Sequence[Path]) -> pd.DataFrame:
    """How did each autoencoder learn?

    Args:
        paths: CSV files with the columns of `COLUMNS`, in any order. A file without
            rows is that of autoencoders that are not trained.

    Returns:
        All rows, sorted by family, run and step, with `n_prototypes`, `seed` and what
        the run was to use at most: `run_learning_rate`, `run_sparsity` (NaN where it
        has none).

    Raises:
        ValueError: no file, other columns, a value that is no number, a name that is
            no run's, or a step that stands there twice.
    """
    if not paths:
        raise ValueError("no log of training was named: name those of fit_sae")
    training = pd.concat(
        [_read_file(path) for path in sorted(paths)], ignore_index=True
    )
    twice = training.duplicated([*FAMILY, "run", "step"])
    if twice.any():
        row = training.loc[twice].iloc[0]
        raise ValueError(
            f"step {row['step']} of {row['run']} ({row['method']}, {row['encoder']} "
            f"layer {row['layer']}) stands twice in the logs of training: give each "
            "file once, or train the family again"
        )
    run = ["n_prototypes", "run_learning_rate", "run_sparsity", "seed"]
    return training.sort_values([*FAMILY, *run, "step"], ignore_index=True)


def trained_runs(training: pd.DataFrame) -> list[tuple[Family, Run]]:
    """Which runs have a log, each once?"""
    return [
        (Family(row.encoder, int(row.layer), row.method), Run.parse(row.run))
        for row in training[[*FAMILY, "run"]].drop_duplicates().itertuples(index=False)
    ]


def _read_file(path: Path) -> pd.DataFrame:
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
    runs = [Run.parse(name) for name in training["run"]]
    return training.assign(
        n_prototypes=pd.Series([run.n_prototypes for run in runs], dtype="int64"),
        seed=pd.Series([run.seed for run in runs], dtype="int64"),
        run_learning_rate=pd.Series(
            [run.learning_rate for run in runs], dtype="float64"
        ),
        run_sparsity=pd.Series([run.sparsity for run in runs], dtype="float64"),
    )
