"""CSV files of other stages, read with the types that they must have."""

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd


def read_typed(
    path: Path, columns: Mapping[str, str], may_be_empty: Collection[str]
) -> pd.DataFrame:
    """Read the columns that are needed; others may stand beside them.

    Args:
        path: a CSV file.
        columns: what each column holds, as pandas calls it.
        may_be_empty: columns in which an empty cell is a missing value.

    Returns:
        The columns in the order of `columns`.

    Raises:
        ValueError: the file or a column is missing, or a value is of another type.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: run the stage that writes it")
    with path.open(encoding="utf-8") as file:
        found = file.readline().strip().split(",")
    missing = [name for name in columns if name not in found]
    if missing:
        raise ValueError(
            f"{path} lacks the columns {', '.join(missing)}: it has "
            f"{', '.join(filter(None, found)) or 'none'}. Name the file that the "
            "stage wrote, or run it again"
        )
    try:
        rows = pd.read_csv(
            path,
            dtype=dict(columns),
            usecols=list(columns),
            keep_default_na=False,
            na_values={name: [""] for name in may_be_empty},
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return rows[list(columns)]


def refuse(path: Path, mistakes: Mapping[str, pd.Series], remedy: str) -> None:
    """Stop at the first row in which a mistake is true.

    Raises:
        ValueError: naming the file, the line and the mistake.
    """
    for mistake, is_bad in mistakes.items():
        if is_bad.any():
            line = int(is_bad.to_numpy().argmax()) + 2
            raise ValueError(f"{path}, line {line}: {mistake}: {remedy}")
