"""Read and write lists of images and lists of splits.

There are two files, so that a corrected split does not make the list of images stale,
nor the activations that were recorded in its order.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.core.files import whole_file

COLUMNS = ["image_id", "path", "split", "class_name"]
"""The columns of both lists, which the list_* stages fill."""
IMAGE_COLUMNS = ["image_id", "path"]
SPLIT_COLUMNS = ["image_id", "split", "class_name"]
SPLITS = ("train", "test")


def read_image_list(path: Path) -> pd.DataFrame:
    """Read the list of images of a data set.

    All values remain strings: ids such as `0001` and `NA` keep their form.

    Args:
        path: a CSV file with the columns `image_id, path`.

    Returns:
        These columns in the file's order, which is the order of images in every later
        file. `path` is relative to the data set's root.

    Raises:
        ValueError: columns are missing or too many, a row is too long or too short, or
            an id or a path is empty or appears twice; with file and line.
    """
    rows = _read_table(path, IMAGE_COLUMNS)
    # If a file were in both splits, a prototype could be tested on an image that chose
    # it. So paths must be unique as well as ids.
    for column in IMAGE_COLUMNS:
        _check_keys(path, rows, column, IMAGE_COLUMNS.index(column))
    return pd.DataFrame([row for _, row in rows], columns=IMAGE_COLUMNS, dtype="str")


def read_splits(path: Path) -> pd.DataFrame:
    """Read the split and class of each image of a data set.

    All values remain strings, as in the image list.

    Args:
        path: a CSV file with the columns `image_id, split, class_name`.

    Returns:
        These columns in the file's order, which must be that of the image list;
        `check_same_images` checks it. `class_name` may be empty.

    Raises:
        ValueError: columns are missing or too many, a row is too long or too short, an
            id is empty or appears twice, or a split is neither `train` nor `test`; with
            file and line.
    """
    rows = _read_table(path, SPLIT_COLUMNS)
    _check_keys(path, rows, "image_id", 0)
    for line, (_, split, _) in rows:
        if split not in SPLITS:
            raise ValueError(
                f"{path}, line {line}: the split must be one of {', '.join(SPLITS)}, "
                f"got {split!r}"
            )
    return pd.DataFrame([row for _, row in rows], columns=SPLIT_COLUMNS, dtype="str")


def write_image_list(images: pd.DataFrame, path: Path) -> None:
    """Write a list of images for `read_image_list`.

    Args:
        images: has the columns of an image list; others are left out.
        path: the CSV file to write.
    """
    _write_table(images[IMAGE_COLUMNS], path)


def write_splits(images: pd.DataFrame, path: Path) -> None:
    """Write the splits of images for `read_splits`.

    Args:
        images: has the columns of splits; others are left out.
        path: the CSV file to write.
    """
    _write_table(images[SPLIT_COLUMNS], path)


def check_same_images(
    image_ids: Sequence[str], where: str, listed_ids: Sequence[str], listed: str
) -> None:
    """Check that a file has exactly the listed images, in the listed order.

    Args:
        image_ids: the ids of the file's rows.
        where: the file, for the message.
        listed_ids: the unique ids of the image list or the splits.
        listed: the file of that list, for the message.

    Raises:
        ValueError: an image is missing, unknown, repeated or in another place. The
            message names the first such image and its positions, counted from 1.
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


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def _read_table(path: Path, columns: list[str]) -> list[tuple[int, list[str]]]:
    """The rows below the header, with their line numbers; checks their length."""
    rows = _read_rows(path)
    line, header = rows.pop(0) if rows else (1, [])
    if header != columns:
        raise ValueError(
            f"{path}, line {line}: expected the columns {','.join(columns)}, "
            f"got {','.join(header) or 'nothing'}: run the list_* stage again"
        )
    for line, row in rows:
        if len(row) != len(columns):
            raise ValueError(
                f"{path}, line {line}: expected {len(columns)} columns, got {len(row)}"
            )
    return rows


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows with their line numbers; a name may contain a line end."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            return [(reader.line_num, row) for row in reader]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, line {reader.line_num + 1}: not a CSV file in UTF-8 ({error})"
            ) from None


def _check_keys(
    path: Path, rows: list[tuple[int, list[str]]], column: str, i_column: int
) -> None:
    """Check that a column has a unique value in each row."""
    first_line: dict[str, int] = {}
    for line, row in rows:
        key = row[i_column]
        if not key:
            raise ValueError(f"{path}, line {line}: the {column} is empty")
        earlier = first_line.setdefault(key, line)
        if earlier != line:
            raise ValueError(
                f"{path}, line {line}: {column} {key!r} is already on line {earlier}"
            )
