"""Image lists: which images are there, in which split, and in which order."""

import csv
from collections.abc import Sequence
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


def check_same_images(
    image_ids: Sequence[str], where: str, listed_ids: Sequence[str], listed: str
) -> None:
    """Does a file hold exactly the listed images, in the listed order?

    Args:
        image_ids: of the rows of the file.
        where: the file, for the message.
        listed_ids: of the image list, each once.
        listed: the image list's file, for the message.

    Raises:
        ValueError: an image is missing, unknown or doubled, or stands elsewhere. It
            names the first such image and its positions, counted from 1.
    """
    if list(image_ids) == list(listed_ids):
        return
    counts = f"{listed} lists {len(listed_ids)} images, {where} has {len(image_ids)}"
    remedy = "make both from the same data set"
    place = {image_id: i for i, image_id in enumerate(image_ids, 1)}
    listed_place = {image_id: i for i, image_id in enumerate(listed_ids, 1)}
    missing = [image_id for image_id in listed_ids if image_id not in place]
    if missing:
        raise ValueError(
            f"{len(missing)} images are missing in {where}, first {missing[0]!r}, "
            f"number {listed_place[missing[0]]} of {listed} ({counts}): {remedy}"
        )
    unknown = [image_id for image_id in image_ids if image_id not in listed_place]
    if unknown:
        raise ValueError(
            f"{len(unknown)} images of {where} are not in {listed}, first "
            f"{unknown[0]!r}, number {place[unknown[0]]} ({counts}): {remedy}"
        )
    if len(image_ids) != len(listed_ids):
        raise ValueError(f"{where} holds images more than once ({counts}): {remedy}")
    pairs = enumerate(zip(listed_ids, image_ids, strict=True), 1)
    number, image_id = next((i, a) for i, (a, b) in pairs if a != b)
    raise ValueError(
        f"{listed} and {where} order their images differently: {image_id!r} is number "
        f"{number} in the first and {place[image_id]} in the second: {remedy}"
    )


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
