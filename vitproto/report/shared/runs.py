"""Are all runs of a study there, and no others?"""

from collections.abc import Iterable, Sequence

import pandas as pd

from vitproto.study.family import Family, describe_difference, read_families
from vitproto.study.run import Run

FAMILY = ["encoder", "layer", "method"]
SETTINGS = ["n_prototypes", "learning_rate", "sparsity", "seed"]


def check_expected(
    found: Iterable[tuple[Family, Run]], expected: Sequence[str], what: str
) -> None:
    """Are these the runs of the run table?

    Args:
        found: the runs that were read.
        expected: those of the run table, as `write_families` writes them.
        what: they were read from, for the message, in the singular.

    Raises:
        ValueError: a run is missing, or one is there that should not be.
    """
    names = {f"{family} {run.name}" for family, run in found}
    wanted = {
        f"{family} {name}"
        for family, runs in read_families(expected).items()
        for name in runs
    }
    if names != wanted:
        difference = describe_difference(wanted - names, names - wanted)
        raise ValueError(
            f"{what} {difference}: give the files of all families of the run table and "
            "of no others; a file that lacks a run of its family is to be deleted and "
            "made again"
        )


def runs_of(rows: pd.DataFrame) -> list[tuple[Family, Run]]:
    """Which runs do rows speak of, each once?"""
    columns = [*FAMILY, *SETTINGS]
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
        for row in rows[columns].drop_duplicates().itertuples(index=False)
    ]
