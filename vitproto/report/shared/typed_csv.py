"""CSV files of other stages, read with the types they must have; and written."""

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from vitproto.core.files import whole_file
from vitproto.core.unreadable import unreadable


def read_typed(
    path: Path, columns: Mapping[str, str], may_be_empty: Collection[str]
) -> pd.DataFrame:
    """Read the columns of a CSV file that are needed; the file may have others.

    Args:
        path: a CSV file.
        columns: the type of each column, as pandas calls it.
        may_be_empty: columns in which an empty cell is a missing value.

    Returns:
        The columns in the order of `columns`.

    Raises:
        ValueError: the file or a column is missing, or a value has another type.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: run the stage that writes it")
    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline().strip().split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise _damage(path, error) from error
    missing = [name for name in columns if name not in header]
    if missing:
        raise ValueError(
            f"{path} lacks the columns {', '.join(missing)}: it has "
            f"{', '.join(filter(None, header)) or 'none'}. Name the file that the "
            "stage wrote, or run it again"
        )
    try:
        with warnings.catch_warnings():
            # A row with more cells than columns: pandas would drop some, in silence if
            # it were told which columns to read.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            rows = pd.read_csv(
                path,
                dtype=dict(columns),
                index_col=False,
                low_memory=False,
                keep_default_na=False,
                na_values={name: [""] for name in may_be_empty},
            )
    except (OSError, ValueError, TypeError, pd.errors.ParserWarning) as error:
        raise _damage(path, error) from None
    return rows[list(columns)]


def _damage(path: Path, error: Exception) -> ValueError:
    damaged = f"{path}: {error}. Delete it and run the stage that writes it again"
    return unreadable(path, error, damaged)


def read_together(
    paths: Sequence[Path],
    read: Callable[[Path], pd.DataFrame],
    key: list[str],
    what: str,
) -> pd.DataFrame:
    """Read several files of the same kind as one table, sorted by `key`.

    Args:
        paths: the files, in any order.
        read: reads one of them.
        key: columns in which no two rows may agree.
        what: the files, for messages, in the plural.

    Raises:
        ValueError: no file was named, or two rows agree in `key`.
    """
    if not paths:
        raise ValueError(f"no {what} were named: name at least one file")
    # Sorted, so that no message depends on the order of the files.
    rows = pd.concat([read(path) for path in sorted(paths)], ignore_index=True)
    is_repeated = rows.duplicated(key)
    if is_repeated.any():
        first = describe_row(rows.loc[is_repeated].iloc[0], key)
        raise ValueError(
            f"{is_repeated.sum()} rows of the {what} repeat others, the first: "
            f"{first}: give each file once, and only files of different runs"
        )
    return rows.sort_values(key, ignore_index=True)


def refuse(
    path: Path, rows: pd.DataFrame, mistakes: Mapping[str, pd.Series], remedy: str
) -> None:
    """Stop at the first row in which a mistake is true.

    Args:
        path: the file that the rows were read from.
        rows: all its rows, in its order.
        mistakes: by description, the rows that make it.
        remedy: what to do about it.

    Raises:
        ValueError: naming the file, the line, the mistake and the row.
    """
    for mistake, is_bad in mistakes.items():
        if is_bad.any():
            i_row = int(is_bad.to_numpy().argmax())
            row = describe_row(rows.iloc[i_row], list(rows.columns))
            raise ValueError(f"{path}, line {i_row + 2}: {mistake}: {row}: {remedy}")


def describe_row(row: pd.Series, columns: Sequence[str]) -> str:
    """Name the cells of a row that are not empty: `layer 3, method pca`."""
    filled = [name for name in columns if not pd.isna(row[name]) and row[name] != ""]
    return ", ".join(f"{name} {row[name]}" for name in filled)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table with six significant digits, and nothing for NaN."""
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
