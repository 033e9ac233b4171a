"""Image lists: which images are there, in which order; and in which split.

Two files, so that a corrected split leaves the first one, and the activations that
were recorded in its order, as they are.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.core.files import whole_file

COLUMNS = ["image_id", "path", "split", "class_name"]
"""What the list_* stages find of an image: the columns of both lists."""
IMAGE_COLUMNS = ["image_id", "path"]
SPLIT_COLUMNS = ["image_id", "split", "class_name"]
SPLITS = ("train", "test")


def read_image_list(path: Path) -> pd.DataFrame:
    """Which images does a data set hold, and in which order?

    Everything is a string and stays one: ids such as `0001` and `NA` come back as
    they were written.

    Args:
        path: a CSV file with the columns `image_id, path`.

    Returns:
        Those columns, row by row in the file's order, which is the order of
        images in every later file. `path` is relative to the data set's root.

    Raises:
        ValueError: naming file and line, where columns are missing or more than
            these, a row is too long or too short, or an id or a path is empty or
            stands there twice.
    """
    rows = _read_table(path, IMAGE_COLUMNS)
    # The same file in both splits would let a prototype be tested on an image
    # that chose it, so paths count as well as ids.
    for column in IMAGE_COLUMNS:
        _check_keys(path, rows, column, IMAGE_COLUMNS.index(column))
    return pd.DataFrame([row for _, row in rows], columns=IMAGE_COLUMNS, dtype="str")


def read_splits(path: Path) -> pd.DataFrame:
    """In which split is each image of a data set, and of which class?

    Strings stay as they were written, as in the image list.

    Args:
        path: a CSV file with the columns `image_id, split, class_name`.

    Returns:
        Those columns, row by row in the file's order, which is that of the image
        list; `check_same_images` says whether it is. `class_name` may be empty.

    Raises:
        ValueError: naming file and line, where columns are missing or more than
            these, a row is too long or too short, an id is empty or stands there
            twice, or a split is neither `train` nor `test`.
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
    """Write which images there are so that `read_image_list` gives it back unchanged.

    Args:
        images: all `COLUMNS`, or those of an image list; it takes the latter.
        path: the CSV file to write.
    """
    _write_table(images[IMAGE_COLUMNS], path)


def write_splits(images: pd.DataFrame, path: Path) -> None:
    """Write the splits of images so that `read_splits` gives them back unchanged.

    Args:
        images: all `COLUMNS`, or those of splits; it takes the latter.
        path: the CSV file to write.
    """
    _write_table(images[SPLIT_COLUMNS], path)


def check_same_images(
    image_ids: Sequence[str], where: str, listed_ids: Sequence[str], listed: str
) -> None:
    """Does a file hold exactly the listed images, in the listed order?

    Args:
        image_ids: of the rows of the file.
        where: the file, for the message.
        listed_ids: of the image list, or the splits, each once.
        listed: the file of these, for the message.

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


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def _read_table(path: Path, columns: list[str]) -> list[tuple[int, list[str]]]:
    """The rows below the header, each as long as it should be, with their lines."""
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


def _check_keys(
    path: Path, rows: list[tuple[int, list[str]]], column: str, i_column: int
) -> None:
    """Has each row its own value in this column?"""
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
