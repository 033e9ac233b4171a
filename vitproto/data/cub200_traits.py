"""The trait labels of CUB-200-2011: 312 binary attributes for each image."""

import itertools
import logging
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt8

from vitproto.data.cub200_layout import (
    find_attributes,
    find_layout,
    first_few,
    is_whole_number,
    read_numbered,
)
from vitproto.data.label_rule import PRESENT, LabelRule
from vitproto.data.trait_labels import TraitLabels

COLUMNS = ("image id", "attribute id", "presence", "certainty")


def read_traits(root: Path, rule: LabelRule) -> TraitLabels:
    """Read which image of CUB-200-2011 shows which attribute.

    Each line of `image_attribute_labels.txt` says whether an image shows an attribute
    (presence 0 or 1), and how certain the annotator was (1 to 4). Without the column of
    presence nearly all would count as shown: annotators are as sure of absence. A pair
    without a line is not shown.

    Only the first four columns are read, since some lines have extra columns before the
    time. Lines that repeat a pair are accepted if they agree on the label; the answer
    of the last one is kept.

    Args:
        root: `CUB_200_2011`, or the folder that holds it, in the official layout
            or as image folders.
        rule: what an answer counts as.

    Returns:
        Images in the order of `images.txt`, traits in the order of
        `attributes.txt`.

    Raises:
        ValueError: a file is missing or damaged, lines contradict each other, or
            an image has no label at all; with file, line and value.
    """
    metadata = find_layout(root).metadata
    attributes = read_numbered(find_attributes(metadata))
    image_ids = list(read_numbered(metadata / "images.txt"))
    labels_txt = metadata / "attributes" / "image_attribute_labels.txt"
    rows_R4 = read_label_columns(labels_txt)
    ids = (image_ids, list(attributes))
    answers_NT = tabulate_answers(labels_txt, rows_R4, *ids, rule)
    n_without = int((answers_NT == 0).sum())
    if n_without:
        logging.warning(
            "%s has no line for %s of the %s pairs of image and attribute: these count "
            "as absent",
            *(labels_txt, f"{n_without:,}", f"{answers_NT.size:,}"),
        )
    labels_NT, known_NT = rule.apply(answers_NT)
    return TraitLabels(
        image_ids=[str(number) for number in image_ids],
        trait_names=[name for _, name in attributes.values()],
        labels_NT=labels_NT,
        known_NT=known_NT,
        answers_NT=answers_NT,
    )


def read_label_columns(path: Path) -> Int[np.ndarray, "r 4"]:
    """Read the first four columns of the label file.

    R lines. Blank lines are left out.

    Raises:
        ValueError: the file is missing, or a line has fewer than four columns or a
            value that is no whole number.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        with warnings.catch_warnings():
            # An empty file is reported later: its images are unlabelled.
            warnings.filterwarnings("ignore", message=".*contained no data")
            rows_R4 = np.loadtxt(
                path,
                dtype=np.int32,
                usecols=range(4),
                comments=None,
                ndmin=2,
                encoding="utf-8-sig",
            )
    except ValueError as error:
        # The fast parser counts lines differently, so find the line slowly.
        _refuse_first_bad_line(path)
        raise ValueError(f"{path}: {error}") from None
    return rows_R4.reshape(-1, 4)


def tabulate_answers(
    path: Path,
    rows_R4: Int[np.ndarray, "r 4"],
    image_ids: list[int],
    attribute_ids: list[int],
    rule: LabelRule,
) -> UInt8[np.ndarray, "n t"]:
    """Turn the lines of the label file into a table of images and attributes.

    Args:
        path: the label file, for messages.
        rows_R4: image id, attribute id, presence and certainty of each line.
        image_ids: the rows of the table.
        attribute_ids: the columns of the table.
        rule: what an answer counts as; lines that repeat a pair must agree on that.

    Returns:
        The answers, as `label_rule` numbers them.

    Raises:
        ValueError: naming file, line and value; see `read_traits`.
    """
    images_R, attributes_R, present_R, certainty_R = rows_R4.T
    i_image_R = _find_places(images_R, image_ids)
    i_attribute_R = _find_places(attributes_R, attribute_ids)
    _check_column(path, rows_R4, 0, i_image_R >= 0, "one of images.txt")
    _check_column(path, rows_R4, 1, i_attribute_R >= 0, "one of attributes.txt")
    _check_column(path, rows_R4, 2, np.isin(present_R, [0, 1]), "0 or 1")
    _check_column(path, rows_R4, 3, np.isin(certainty_R, [1, 2, 3, 4]), "1 to 4")

    answer_R = (certainty_R + PRESENT * present_R).astype(np.uint8)
    cell_R = i_image_R * len(attribute_ids) + i_attribute_R
    shows_R, known_R = rule.apply(answer_R)
    _check_agreement(path, rows_R4, cell_R, np.where(known_R, shows_R, -1))
    answers_NT = np.zeros((len(image_ids), len(attribute_ids)), dtype=np.uint8)
    answers_NT.reshape(-1)[cell_R] = answer_R

    lines_N = np.bincount(i_image_R, minlength=len(image_ids))
    unlabelled = [str(image_ids[i]) for i in np.flatnonzero(lines_N == 0)]
    if unlabelled:
        raise ValueError(
            f"{path} has no line for {len(unlabelled)} of the {len(image_ids)} images "
            f"of images.txt: {first_few(unlabelled)}"
        )
    return answers_NT


def _find_places(
    ids_R: Int[np.ndarray, " r"], known_ids: list[int]
) -> Int[np.ndarray, " r"]:
    """The place of each id in `known_ids`, or -1."""
    known_M = np.array(known_ids)
    order_M = np.argsort(known_M)
    nearest_R = np.searchsorted(known_M, ids_R, sorter=order_M)
    place_R = order_M[np.minimum(nearest_R, len(known_M) - 1)]
    return np.where(known_M[place_R] == ids_R, place_R, -1)


def _check_column(
    path: Path,
    rows_R4: Int[np.ndarray, "r 4"],
    column: int,
    good_R: Bool[np.ndarray, " r"],
    expected: str,
) -> None:
    if not good_R.all():
        row = int(np.argmin(good_R))
        raise ValueError(
            f"{path}, line {_line_of_row(path, row)}: the {COLUMNS[column]} must be "
            f"{expected}, got {rows_R4[row, column]} "
            f"({np.count_nonzero(~good_R)} such lines)"
        )


def _check_agreement(
    path: Path,
    rows_R4: Int[np.ndarray, "r 4"],
    cell_R: Int[np.ndarray, " r"],
    label_R: Int[np.ndarray, " r"],
) -> None:
    """Refuse two lines with different labels for the same pair."""
    n_rows = len(rows_R4)
    first_row_M = np.full(cell_R.max(initial=-1) + 1, -1)
    # Backwards: for a repeated index NumPy keeps the last value, so here the first.
    first_row_M[cell_R[::-1]] = np.arange(n_rows)[::-1]
    first_row_R = first_row_M[cell_R]
    differs_R = label_R != label_R[first_row_R]
    if differs_R.any():
        row = int(np.argmax(differs_R))
        earlier = _line_of_row(path, int(first_row_R[row]))
        image, attribute, present, certainty = rows_R4[row]
        raise ValueError(
            f"{path}, line {_line_of_row(path, row)}: image {image}, attribute "
            f"{attribute}: presence {present} with certainty {certainty} contradicts "
            f"line {earlier}"
        )


def _line_of_row(path: Path, row: int) -> int:
    """The line of a row in the file, which has blank lines too."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        filled = (line for line, text in enumerate(file, start=1) if text.strip())
        return next(itertools.islice(filled, row, None))


def _refuse_first_bad_line(path: Path) -> None:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            fields = text.split()[:4]
            if fields and len(fields) < 4:
                raise ValueError(
                    f"{path}, line {line}: expected at least 4 columns, got "
                    f"{text.strip()!r}"
                )
            for name, field in zip(COLUMNS, fields, strict=False):
                if not is_whole_number(field):
                    raise ValueError(
                        f"{path}, line {line}: the {name} must be a whole number, got "
                        f"{field!r}"
                    )
