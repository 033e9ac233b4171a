"""List image folders: iNat21, and any other data set that is a tree of images."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vitproto.data.image_list import COLUMNS, SPLITS

SUFFIXES = (
    *(".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif"),
    *(".tiff", ".webp"),
)
"""The suffixes of images, in lower or upper case."""


def read_images(root: Path) -> pd.DataFrame:
    """List the images below a folder.

    Images may lie in `root/class/image.jpg`, in folders within folders, or in `root`
    itself. Their class is the path of their folder, and empty for images in `root`.
    Hidden files and files that are not images by their suffix are left out; the latter
    are counted in the log. Links are followed.

    All images are in the split `train`, unless the folders in `root` are exactly
    `train` and `test`: these are then the splits, and the classes lie below them.

    Returns:
        The columns of both lists, sorted by path, folder by folder, independently of
        the file system. The id is the path without its suffix.

    Raises:
        ValueError: there are no images, a link is broken or circular, two images differ
            only in their suffix, or a name is not UTF-8.
    """
    has_splits = _folder_names(root) == set(SPLITS)
    rows = []
    left_out: Counter[str] = Counter()
    no_files: list[str] = []
    for path in _image_paths(root, "", (), left_out, no_files):
        folder, _, _ = path.rpartition("/")
        split = "train"
        if has_splits and folder:
            split, _, folder = folder.partition("/")
        image_id = os.path.splitext(path)[0]
        rows.append((image_id, path, split, folder))
    if left_out:
        counts = ", ".join(f"{n:,} {suffix}" for suffix, n in left_out.most_common())
        logging.info("left out, since their suffix is not that of an image: %s", counts)
    if no_files:
        raise ValueError("\n".join(no_files))
    if not rows:
        raise ValueError(
            f"{root} holds no images: looked for {', '.join(SUFFIXES)} in it and in "
            "the folders below"
        )
    images = pd.DataFrame(rows, columns=COLUMNS, dtype="str")
    _check_ids(root, images)
    return images


def _folder_names(root: Path) -> set[str]:
    with os.scandir(root) as entries:
        return {e.name for e in entries if e.is_dir() and not e.name.startswith(".")}


def _image_paths(
    root: Path,
    folder: str,
    above: tuple[str, ...],
    left_out: Counter[str],
    no_files: list[str],
) -> Iterator[str]:
    """The paths below `folder`, relative to `root` and sorted; its own files first.

    Counts the suffixes of all other files in `left_out`, and says in `no_files` which
    images are broken links or devices.
    """
    here = os.path.realpath(root / folder)
    if here in above:
        raise ValueError(f"{root / folder} is a link that leads back to {here}")
    with os.scandir(here) as entries:
        visible = sorted(
            (entry for entry in entries if not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )
    folders = []
    for entry in visible:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir():
            folders.append(path)
        elif entry.name.lower().endswith(SUFFIXES):
            if entry.is_file():
                yield path
            elif entry.is_symlink():
                no_files.append(f"{root / path} is a link that leads nowhere")
            else:
                no_files.append(f"{root / path} is not a file: remove it")
        else:
            left_out[os.path.splitext(entry.name)[1].lower() or "without suffix"] += 1
    for path in folders:
        yield from _image_paths(root, path, (*above, here), left_out, no_files)


def _check_ids(root: Path, images: pd.DataFrame) -> None:
    same_id = images[images["image_id"].duplicated(keep=False)].groupby("image_id")
    problems = [
        f"{root} holds {' and '.join(sorted(paths))}: two images must not differ in "
        "their suffix alone, rename or remove one"
        for _, paths in same_id["path"]
    ]
    if problems:
        raise ValueError("\n".join(problems))
    for path in images["path"]:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{root} holds {path!r}, a name that is not UTF-8: rename it"
            ) from None
