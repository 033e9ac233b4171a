"""Tables of traits: a CSV file with a row for each image and a column for each trait.

The column `image` holds paths below the folder of images. `split` (train or test) and
`group` (a specimen, a species: never in both splits) may be there. All other columns
are traits.
"""

import csv
import io
import logging
import math
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vitproto.core.unreadable import unreadable
from vitproto.data.image_folder import SUFFIXES
from vitproto.data.image_list import COLUMNS, SPLITS
from vitproto.data.stratified_split import TableSplit, split_groups
from vitproto.data.trait_labels import TraitLabels

IMAGE, SPLIT, GROUP = "image", "split", "group"
"""The columns that are no traits."""

ANSWERS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "y"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "n"), False),
}
"""What a cell of a column with two answers may say, in small or capital letters; an
empty cell says that nobody knows."""

GAPS = {"na", "n/a", "nan", "null", "none", "inf", "-inf", "?", "-"}
"""Words for a missing value, which are refused: as a word each would be a trait."""

N_NAMED = 5
"""Most lines that the message about a column names."""

SEPARATORS = ",;\t"
"""What may stand between cells: spreadsheets write `;` where `,` is the decimal
comma."""


@dataclass(frozen=True)
class TraitTable:
    """The cells of a table of traits.

    Attributes:
        path: its file.
        columns: by name, a cell for each image, without blanks around it.
        lines: the line of each image in the file.
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    @property
    def images(self) -> Sequence[str]:
        """The path of each image below the folder, with `/` between its parts."""
        return self.columns[IMAGE]


def read_images(root: Path, path: Path, split: TableSplit) -> pd.DataFrame:
    """List the images of a table, with their splits.

    Without the column `split`, groups are divided so that each trait is as frequent in
    both splits as can be; without `group`, each image is a group of its own.

    Args:
        root: the folder of images.
        path: the table.
        split: how images are divided if the table does not say.

    Returns:
        The columns of both lists, sorted by path. The id is the path; the class is the
        group.

    Raises:
        ValueError: the table is wrong, or an image is missing; one line for each
            problem.
    """
    table = _parse(path)
    labels, problems = _find_labels(table)
    _refuse([*_row_problems(table), *_file_problems(table, root), *problems])
    groups = table.columns.get(GROUP) or list(table.images)
    if len(set(groups)) < 2:
        what = "image" if GROUP not in table.columns else f"{GROUP} {groups[0]!r}"
        raise ValueError(
            f"{path} has a single {what}, which cannot both choose and test: add "
            "images of another"
        )
    splits = table.columns.get(SPLIT)
    if splits is None:
        is_test_N = split_groups(groups, labels.labels_NT, split)
        splits = [SPLITS[int(is_test)] for is_test in is_test_N]
        logging.info(
            "%s says no split: %d of %d images test, drawn with seed %d; to keep this "
            "division when labels change, add it to the table",
            *(path, int(is_test_N.sum()), len(splits), split.seed),
        )
    rows = zip(table.images, table.images, splits, groups, strict=True)
    images = pd.DataFrame(rows, columns=COLUMNS, dtype="str")
    return images.sort_values("path", ignore_index=True)


def read_traits(path: Path) -> TraitLabels:
    """Read which image shows which trait.

    A column of 0 and 1 (or true and false, yes and no) is a trait. A column of words is
    a trait for each word, `column::word`. An empty cell says that nobody knows.

    Returns:
        Images sorted by path, traits in the order of the columns; those of a column of
        words sorted.

    Raises:
        ValueError: the table is wrong, or a column holds numbers or mixes answers with
            words; one line for each problem.
    """
    table = _parse(path)
    labels, problems = _find_labels(table)
    _refuse([*_row_problems(table), *problems])
    order_N = np.argsort(np.array(labels.image_ids, dtype=object), kind="stable")
    return TraitLabels(
        [labels.image_ids[i] for i in order_N],
        labels.trait_names,
        labels.labels_NT[order_N],
        labels.known_NT[order_N],
    )


def _parse(path: Path) -> TraitTable:
    """The cells of a table, whatever they hold.

    Raises:
        ValueError: the file is missing, is no CSV in UTF-8, or its header or the length
            of a row is wrong.
    """
    rows = _read_rows(path)
    if not rows:
        raise ValueError(f"{path} is empty: write a header with the column {IMAGE}")
    (_, header), *body = rows
    names = [_name_of(name) for name in header]
    problems = _header_problems(path, names)
    body = [(line, [cell.strip() for cell in row]) for line, row in body if any(row)]
    for line, row in body:
        if len(row) != len(names):
            problems.append(
                f"{path}, line {line}: {len(row)} cells, but the header has "
                f"{len(names)}: put cells that hold a separator in quotes"
            )
    if not body:
        problems.append(f"{path} has a header but no rows: add one for each image")
    _refuse(problems)
    cells = [row for _, row in body]
    columns = {name: [row[i] for row in cells] for i, name in enumerate(names)}
    columns[IMAGE] = [_normalise(image) for image in columns[IMAGE]]
    return TraitTable(path, columns, [line for line, _ in body])


def _row_problems(table: TraitTable) -> list[str]:
    return [*_image_problems(table), *_split_problems(table)]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ValueError("\n".join(problems))


def _normalise(image: str) -> str:
    """A path with `/` between its parts: `./a//1.jpg` and `a\\1.jpg` are the same."""
    return posixpath.normpath(image.replace("\\", "/")) if image else ""


def _name_of(column: str) -> str:
    """The name of a column; `Image`, `SPLIT` and `Group` are the special ones, too."""
    name = column.strip()
    return name.lower() if name.lower() in (IMAGE, SPLIT, GROUP) else name


def _find_labels(table: TraitTable) -> tuple[TraitLabels, list[str]]:
    """The labels of a table, in the order of its rows, and what is wrong with them."""
    names: list[str] = []
    shows, known, problems = [], [], []
    for name, cells in table.columns.items():
        if name in (IMAGE, SPLIT, GROUP):
            continue
        problem = _column_problem(table, name)
        if problem:
            problems.append(problem)
            continue
        known_N = np.array([cell != "" for cell in cells])
        if all(cell.lower() in ANSWERS for cell in cells if cell):
            columns = {name: [ANSWERS.get(cell.lower(), False) for cell in cells]}
        else:
            words = sorted({cell for cell in cells if cell})
            problems += _word_problems(table, name, words)
            columns = {f"{name}::{word}": [c == word for c in cells] for word in words}
        for trait, shows_N in columns.items():
            names.append(trait)
            shows.append(shows_N)
            known.append(known_N)
    for name, n in Counter(names).items():
        if n > 1:
            problems.append(
                f"{table.path}: two columns give the trait {name!r}: rename one"
            )
    if not names and not problems:
        problems.append(
            f"{table.path} has no column of a trait, only "
            f"{', '.join(table.columns)}: add one of 0 and 1, or of words"
        )
    if problems or len(set(table.images)) < len(table.images):
        return TraitLabels([], [], *np.zeros((2, 0, 0), bool)), problems
    shape = len(names), len(table.images)
    return (
        TraitLabels(
            list(table.images),
            names,
            np.array(shows, dtype=bool).reshape(shape).T,
            np.array(known, dtype=bool).reshape(shape).T,
        ),
        problems,
    )


def _column_problem(table: TraitTable, name: str) -> str | None:
    """What is wrong with a column of a trait, if anything."""
    cells = table.columns[name]
    filled = [
        (line, cell) for line, cell in zip(table.lines, cells, strict=True) if cell
    ]
    where = f"{table.path}, column {name!r}"
    if not filled:
        return f"{where} is empty: fill it in, or leave it out"
    others = [(line, cell) for line, cell in filled if cell.lower() not in ANSWERS]
    if others and len(others) < len(filled):
        if all(_is_number(cell) for _, cell in filled):
            return _describe_numbers(where, others)
        return (
            f"{where} mixes 0 and 1 with words: {_name_cells(others)}: write 0, 1 or "
            "nothing for not known, or words in all rows"
        )
    if not others:
        return None
    if any(_is_number(cell) for _, cell in others):
        numbers = [(line, cell) for line, cell in others if _is_number(cell)]
        return _describe_numbers(where, numbers)
    gaps = [(line, cell) for line, cell in others if cell.casefold() in GAPS]
    if gaps:
        return (
            f"{where} says that something is missing: {_name_cells(gaps)}: leave these "
            "cells empty"
        )
    if len(filled) > 1 and len({cell for _, cell in filled}) == len(filled):
        return (
            f"{where} has another word in each row, such as {filled[0][1]!r}, so no "
            "two images share a trait: leave it out"
        )
    return None


def _word_problems(table: TraitTable, name: str, words: Sequence[str]) -> Iterator[str]:
    """Words that differ only in capital letters would be two traits."""
    first: dict[str, str] = {}
    for word in words:
        other = first.setdefault(word.casefold(), word)
        if other != word:
            yield (
                f"{table.path}, column {name!r} holds both {other!r} and {word!r}: "
                "write them in the same way"
            )


def _describe_numbers(where: str, numbers: Sequence[tuple[int, str]]) -> str:
    return (
        f"{where} holds numbers: {_name_cells(numbers)}: a trait is shown or not, so "
        "write a word for each range, such as small and large, or leave the column out"
    )


def _name_cells(cells: Sequence[tuple[int, str]]) -> str:
    named = [f"{cell!r} on line {line}" for line, cell in cells[:N_NAMED]]
    n_more = len(cells) - len(named)
    return ", ".join(named) + (f" and {n_more} more" if n_more else "")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text.replace(",", ".")))
    except ValueError:
        return False


def _header_problems(path: Path, names: Sequence[str]) -> list[str]:
    problems = [
        f"{path}, line 1: column {i} has no name: name it, or remove it"
        for i, name in enumerate(names, 1)
        if not name
    ]
    problems += [
        f"{path}, line 1: {n} columns are called {name!r}: rename them"
        for name, n in Counter(names).items()
        if n > 1 and name
    ]
    if IMAGE not in names:
        problems.append(
            f"{path}, line 1: no column is called {IMAGE!r}, which holds the path of "
            f"each image; there are {', '.join(names)}"
        )
    return problems


def _file_problems(table: TraitTable, root: Path) -> list[str]:
    """Images that are not there, or that are something else."""
    problems = []
    for image, line in zip(table.images, table.lines, strict=True):
        where = f"{table.path}, line {line}"
        if not image or _leads_out(image):
            continue  # said already
        if not (root / image).is_file():
            problems.append(f"{where}: there is no image {image!r} in {root}")
        elif not image.lower().endswith(SUFFIXES):
            problems.append(
                f"{where}: {image!r} is no image by its suffix: {', '.join(SUFFIXES)}"
            )
    return problems


def _leads_out(image: str) -> bool:
    return image.startswith("/") or ".." in image.split("/")


def _image_problems(table: TraitTable) -> list[str]:
    problems, first = [], {}
    for image, line in zip(table.images, table.lines, strict=True):
        where = f"{table.path}, line {line}"
        if not image:
            problems.append(f"{where}: the {IMAGE} is empty")
        elif _leads_out(image):
            problems.append(
                f"{where}: {image!r} leads out of the folder of images: write the path "
                "below it"
            )
        elif first.setdefault(image, line) != line:
            problems.append(f"{where}: {image!r} is already on line {first[image]}")
    return problems


def _split_problems(table: TraitTable) -> list[str]:
    """Splits and groups are given in all rows, and no group is in both splits."""
    problems = []
    for name in (SPLIT, GROUP):
        cells = table.columns.get(name, [])
        problems += [
            f"{table.path}, line {line}: the {name} is empty: fill it in on all rows, "
            f"or leave out the column {name}"
            for cell, line in zip(cells, table.lines, strict=bool(cells))
            if not cell
        ]
    splits, groups = table.columns.get(SPLIT), table.columns.get(GROUP)
    problems += _word_problems(table, GROUP, sorted({*(groups or [])} - {""}))
    if splits is None:
        return problems
    problems += [
        f"{table.path}, line {line}: the {SPLIT} is {split!r}: write "
        f"{' or '.join(SPLITS)}"
        for split, line in zip(splits, table.lines, strict=True)
        if split and split not in SPLITS
    ]
    given = set(splits) & set(SPLITS)
    if not problems and len(given) == 1:
        (lacking,) = set(SPLITS) - given
        problems.append(
            f"{table.path}: all images are in the split {given.pop()}, none in "
            f"{lacking}: prototypes are chosen on train and tested on test"
        )
    if groups is not None:
        splits_of = defaultdict(set)
        for group, split in zip(groups, splits, strict=True):
            splits_of[group].add(split)
        problems += [
            f"{table.path}: the {GROUP} {group!r} is in both splits: its images are "
            "not independent, so put all of them in one"
            for group, named in sorted(splits_of.items())
            if group and set(SPLITS) <= named
        ]
    return problems


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows with the lines on which they end."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not in UTF-8 ({error.reason} at byte {error.start}): save it "
            "as “CSV UTF-8”"
        ) from None
    except OSError as error:
        raise unreadable(path, error, f"{path} cannot be read: {error}") from error
    separator = max(SEPARATORS, key=lambda one: _count_columns(text, one))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: not a CSV file ({error})"
        ) from None


def _count_columns(text: str, separator: str) -> tuple[bool, int]:
    """Whether a header has the column `image` with a separator, and how many it has."""
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    return IMAGE in map(_name_of, header), len(header)
