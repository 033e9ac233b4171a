"""Training curves of autoencoders, read from the logs of their training."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.report.shared.runs import FAMILY
from vitproto.report.shared.typed_csv import read_together, read_typed
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
"""Columns of `training.csv`, and their types: a row for each run and logged step."""

MAY_BE_EMPTY = [name for name, kind in COLUMNS.items() if kind == "float64"]


def read_training(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the training curves of all autoencoders.

    Args:
        paths: CSV files with the columns of `COLUMNS`, in any order. The file of
            autoencoders that are not trained has no rows.

    Returns:
        All rows, sorted by family, run and step, with `n_prototypes`, `seed` and the
        settings of the run: `run_learning_rate` and `run_sparsity`, the maxima of its
        schedules (NaN where it has none).

    Raises:
        ValueError: no file was named, a column is missing, a value is not a number, a
            run has an invalid name, or a step is there twice.
    """
    run = ["n_prototypes", "run_learning_rate", "run_sparsity", "seed"]
    return read_together(paths, _read_log, [*FAMILY, *run, "step"], "logs of training")


def trained_runs(training: pd.DataFrame) -> list[tuple[Family, Run]]:
    """List the runs that have a log, each once."""
    return [
        (Family(row.encoder, int(row.layer), row.method), Run.parse(row.run))
        for row in training[[*FAMILY, "run"]].drop_duplicates().itertuples(index=False)
    ]


def _read_log(path: Path) -> pd.DataFrame:
    training = read_typed(path, COLUMNS, MAY_BE_EMPTY)
    runs = [Run.parse(name) for name in training["run"]]
    return training.assign(
        n_prototypes=pd.Series([run.n_prototypes for run in runs], dtype="int64"),
        seed=pd.Series([run.seed for run in runs], dtype="int64"),
        run_learning_rate=pd.Series(
            [run.learning_rate for run in runs], dtype="float64"
        ),
        run_sparsity=pd.Series([run.sparsity for run in runs], dtype="float64"),
    )
