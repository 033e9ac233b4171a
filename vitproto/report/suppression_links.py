"""Where the pictures of suppression lie, for what links to them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote


class PictureLink(NamedTuple):
    """The picture of a class, or why there is none."""

    sae: str
    label: int
    class_name: str
    href: str
    """Relative to the file that links to it; empty where there is no picture."""
    note: str
    """What is missing, in words."""
    width: int
    """Of the picture, in pixels."""


def find_pictures(folders: Sequence[Path], page: Path) -> list[PictureLink]:
    """Which classes have a picture, and where is it?

    Args:
        folders: those that show_suppression.py wrote, in any order.
        page: the file that is to link to them.

    Returns:
        A link for each class of each folder, sorted by SAE and label.

    Raises:
        ValueError: a folder was not written by show_suppression.py.
    """
    links = [link for folder in folders for link in _find(folder, page)]
    return sorted(links)


def link_to(path: Path, page: Path) -> str:
    """The address of a file, relative to the one that links to it."""
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())


def _find(folder: Path, page: Path) -> list[PictureLink]:
    numbers = folder / "pictures.json"
    if not numbers.is_file():
        raise ValueError(
            f"{folder} holds no pictures.json: name a folder that show_suppression "
            "wrote"
        )
    told = json.loads(numbers.read_text(encoding="utf-8"))
    return [
        PictureLink(
            sae=told["sae"],
            label=one["label"],
            class_name=one["class_name"],
            href=link_to(folder / one["picture"], page) if one["picture"] else "",
            note=one["note"],
            width=one["width"],
        )
        for one in told["classes"]
    ]
