"""The images of CUB-200-2011, in the official layout and as image folders."""

import posixpath
from functools import cache
from pathlib import Path, PurePosixPath

import pandas as pd

from vitproto.data.cub200_layout import (
    Cub200Layout,
    NumberedText,
    find_layout,
    first_few,
    read_numbered,
)
from vitproto.data.files_of import files_of
from vitproto.data.image_list import COLUMNS, SPLITS


def read_images(root: Path) -> pd.DataFrame:
    """List the images of CUB-200-2011, with their splits.

    The official layout has `images.txt`, `train_test_split.txt` and `images/`. Image
    folders have the same text files in `metadata/`, and each image in `train/` or
    `test/`, according to `train_test_split.txt`. An image's class is its folder.

    Args:
        root: `CUB_200_2011`, or the folder that holds it.

    Returns:
        The columns of both lists, in the order of `images.txt`; paths are
        relative to `root`.

    Raises:
        ValueError: the text files are missing, damaged or contradict each other,
            a split is empty, or images are missing; with file, line and value, or the
            number of images and the first few.
    """
    layout = find_layout(root)
    images = read_numbered(layout.metadata / "images.txt")
    split_of = _read_splits(layout, images)
    _check_paths(layout.metadata / "images.txt", images)
    rows = []
    for number, (_, name) in images.items():
        split = split_of[number]
        path = (layout.images[split] / name).relative_to(root).as_posix()
        rows.append((str(number), path, split, Path(name).parent.as_posix()))
    _check_files(root, [path for _, path, _, _ in rows])
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def _read_splits(
    layout: Cub200Layout, images: dict[int, NumberedText]
) -> dict[int, str]:
    path = layout.metadata / "train_test_split.txt"
    split_of: dict[int, str] = {}
    for number, (line, text) in read_numbered(path).items():
        if text not in ("0", "1"):
            raise ValueError(
                f"{path}, line {line}: expected 1 (training) or 0 (test), got {text!r}"
            )
        if number not in images:
            raise ValueError(
                f"{path}, line {line}: image {number} is not in "
                f"{layout.metadata / 'images.txt'}"
            )
        split_of[number] = "train" if text == "1" else "test"
    without = [str(number) for number in images if number not in split_of]
    if without:
        raise ValueError(
            f"{path} leaves out {len(without)} of the {len(images)} images of "
            f"images.txt: {first_few(without)}"
        )
    for split in SPLITS:
        if split not in split_of.values():
            raise ValueError(
                f"{path} puts none of the {len(images)} images into the {split} split"
            )
    return split_of


def _check_paths(path: Path, images: dict[int, NumberedText]) -> None:
    """Check that images lie below the folder of images, each on one line."""
    first_line: dict[str, int] = {}
    for line, name in images.values():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(
                f"{path}, line {line}: expected a path below the folder of images, "
                f"such as 001.Black_footed_Albatross/image.jpg, got {name!r}"
            )
        # `a//1.jpg` and `./a/1.jpg` are the same file.
        earlier = first_line.setdefault(posixpath.normpath(name), line)
        if earlier != line:
            raise ValueError(
                f"{path}, line {line}: the image {name} is already on line {earlier}"
            )


def _check_files(root: Path, paths: list[str]) -> None:
    # List whole folders: asking for 11,788 files one by one is slow on a network disk.
    @cache
    def files_in(folder: Path) -> set[str]:
        return set(files_of(folder)) if folder.is_dir() else set()

    missing = [p for p in paths if Path(p).name not in files_in((root / p).parent)]
    if missing:
        raise ValueError(
            f"{len(missing)} of the {len(paths)} images are not in {root}: "
            f"{first_few(missing)}"
        )
