"""Image lists: which images are there, in which split, and in which order."""

import csv
from pathlib import Path

import pandas as pd

from vitproto.files import whole_file

COLUMNS = ["image_id", "path", "split", "class_name"]
SPLITS = ("train", "test")


def read_image_list(path: Path) -> pd.DataFrame:
    """Which images does a data set hold, and in which order?

    Everything is a string and stays one: ids such as `0001` and class names such
    as `NA` come back as they were written.

    Args:
        path: a CSV file with the columns `image_id, path, split, class_name`.

    Returns:
        Those columns, row by row in the file's order, which is the order of
        images in every later file. `path` is relative to the data set's root and
        `class_name` may be empty.

    Raises:
        ValueError: naming file and line, where columns are missing or more than
            these, a row is too long or too short, an id or a path is empty or
            stands there twice, or a split is neither `train` nor `test`.
    """
    rows = _read_rows(path)
    line, header = rows.pop(0) if rows else (1, [])
    if header != COLUMNS:
        raise ValueError(
            f"{path}, line {line}: expected the columns {','.join(COLUMNS)}, "
            f"got {','.join(header) or 'nothing'}: run the list_* stage again"
        )
    for line, row in rows:
        _check_row(path, line, row)
    _check_unique(path, rows, "image_id")
    _check_unique(path, rows, "path")
    return pd.DataFrame([row for _, row in rows], columns=COLUMNS, dtype="str")


def write_image_list(images: pd.DataFrame, path: Path) -> None:
    """Write `images` so that `read_image_list` gives it back unchanged."""
    assert list(images.columns) == COLUMNS, images.columns
    with whole_file(path) as partial:
        images.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows with their line numbers, which differ where a name holds a line end."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            return [(reader.line_num, row) for row in reader]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, after line {reader.line_num}: not a CSV file in UTF-8 "
                f"({error})"
            ) from None


def _check_row(path: Path, line: int, row: list[str]) -> None:
    if len(row) != len(COLUMNS):
        raise ValueError(
            f"{path}, line {line}: expected {len(COLUMNS)} columns, got {len(row)}"
        )
    image_id, image_path, split, _ = row
    if not image_id or not image_path:
        empty = "path" if image_id else "image_id"
        raise ValueError(f"{path}, line {line}: the {empty} is empty")
    if split not in SPLITS:
        raise ValueError(
            f"{path}, line {line}: the split must be one of {', '.join(SPLITS)}, "
            f"got {split!r}"
        )


def _check_unique(path: Path, rows: list[tuple[int, list[str]]], column: str) -> None:
    # The same file in both splits would let a prototype be tested on an image
    # that chose it, so paths count as well as ids.
    i_column = COLUMNS.index(column)
    first_line: dict[str, int] = {}
    for line, row in rows:
        earlier = first_line.setdefault(row[i_column], line)
        if earlier != line:
            raise ValueError(
                f"{path}, line {line}: {column} {row[i_column]!r} is already on "
                f"line {earlier}"
            )
