"""Families, settings and runs as result files name them, and checks against a study."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from vitproto.study.family import Family, describe_difference, read_families
from vitproto.study.run import Run

FAMILY = ["encoder", "layer", "method"]
"""Columns that name a family of runs."""

SETTING = ["learning_rate", "sparsity"]
"""Columns that hold the settings of a trained method, NaN where it has none. Group by
them with `dropna=False`."""

RUN = [*FAMILY, "n_prototypes", *SETTING, "seed"]
"""Columns that name a run."""


def check_expected(
    measured: Iterable[tuple[Family, Run]], expected: Sequence[str], what: str
) -> None:
    """Check that results cover the runs of the run table, and no others.

    Args:
        measured: the runs that were read.
        expected: the runs of the run table, as `write_families` writes them.
        what: the table or list that was read, for the message, in the singular.

    Raises:
        ValueError: a run is missing or unexpected.
    """
    names = {name_run(family, run) for family, run in measured}
    wanted = {
        f"{family} {name}"
        for family, runs in read_families(expected).items()
        for name in runs
    }
    if names != wanted:
        difference = describe_difference(wanted - names, names - wanted)
        raise ValueError(
            f"{what} {difference}: give the files of all families of the run table and "
            "of no others; if a file lacks a run of its family, delete it and make it "
            "again"
        )


def check_no_repeats(names: Iterable[str], what: str) -> None:
    """Check that no result was read twice.

    Args:
        names: a name for each result.
        what: the files that were read, for the message, in the plural.

    Raises:
        ValueError: a name comes twice.
    """
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise ValueError(f"{what} hold {repeated[0]} twice: give each file once")


def name_run(family: Family, run: Run) -> str:
    """Name a run of a family: `clip/layer3/topk k64-sparsity8-seed0`."""
    return f"{family} {run.name}"


def name_setting(row: pd.Series) -> str:
    """Name a setting: `learning rate 0.001, sparsity 32`; empty where there is none."""
    values = [(column, row[column]) for column in SETTING if not pd.isna(row[column])]
    return ", ".join(f"{name.replace('_', ' ')} {value:.12g}" for name, value in values)


def runs_of(rows: pd.DataFrame) -> list[tuple[Family, Run]]:
    """List the runs that rows belong to, each once.

    Args:
        rows: a table with the columns of `RUN`.
    """
    return [
        (
            Family(row.encoder, int(row.layer), row.method),
            Run(
                int(row.n_prototypes),
                int(row.seed),
                None if pd.isna(row.learning_rate) else float(row.learning_rate),
                None if pd.isna(row.sparsity) else float(row.sparsity),
            ),
        )
        for row in rows[RUN].drop_duplicates().itertuples(index=False)
    ]
