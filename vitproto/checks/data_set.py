"""Find all that is wrong with the files of a data set, before anything is recorded."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vitproto.checks.files import ImageReading, checked_images, mask_problems
from vitproto.data import (
    ade20k,
    cub200_images,
    cub200_traits,
    image_folder,
    trait_table,
)
from vitproto.data.image_folder import SUFFIXES
from vitproto.data.label_rule import LabelRule
from vitproto.data.stratified_split import TableSplit

READERS = {
    "cub200": cub200_images.read_images,
    "image_folder": image_folder.read_images,
    "ade20k": ade20k.read_images,
}
"""By layout, what lists the images of a data set, but for tables."""


class Table(NamedTuple):
    """The table of traits of a data set."""

    file: Path
    split: TableSplit


def problems_of(
    layout: str,
    root: Path,
    rule: LabelRule | None,
    reading: ImageReading,
    table: Table | None = None,
) -> list[str]:
    """Read all files of a data set as the stages do, and collect what they refuse.

    Args:
        layout: a key of `READERS`, or `table`.
        root: the folder of the data set.
        rule: what the answers of annotators count as; None if traits are not used.
        reading: how image files are read.
        table: with layout `table`, the table.

    Returns:
        A sentence for each problem.
    """
    problems: list[str] = []

    def attempt(read: Callable):
        try:
            return read()
        except (ValueError, OSError) as error:
            problems.extend(str(error).split("\n"))
            return None

    if rule is not None and layout == "cub200":
        attempt(lambda: cub200_traits.read_traits(root, rule))
    n_classes = None
    if layout == "ade20k":
        n_classes = attempt(lambda: len(ade20k.read_classes(root)))
    if table is not None:
        attempt(lambda: trait_table.read_traits(table.file))
        listed = attempt(lambda: trait_table.read_images(root, *table))
    else:
        listed = attempt(lambda: READERS[layout](root))
    if listed is not None:
        images = [root / path for path in listed["path"]]
    else:
        # Their list cannot be made, but they can be decoded.
        images = _files_below(root, SUFFIXES, without="annotations")
    checked = checked_images(images, reading)
    problems += [image.problem for image in checked if image.problem]
    if layout == "ade20k":
        problems += mask_problems(_pairs(root, images), n_classes, reading)
    # A bad image is found twice, the second time with its mask.
    return [*dict.fromkeys(problems)]


def _pairs(root: Path, images: Sequence[Path]) -> list[tuple[Path, Path]]:
    """The masks and images that are both there."""
    pairs = []
    for image in images:
        with suppress(ValueError):  # it lies where no image has a mask
            mask = ade20k.mask_path(root, image.relative_to(root).as_posix())
            if mask.is_file():
                pairs.append((mask, image))
    return pairs


def _files_below(root: Path, suffixes: tuple[str, ...], without: str) -> list[Path]:
    """All files with these suffixes, but for those in folders of some name."""
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.name.lower().endswith(suffixes)
        and path.is_file()
        and without not in path.relative_to(root).parts
        and not path.name.startswith(".")
    ]
