"""Where the pictures of suppression lie, for what links to them."""

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from vitproto.report.segmentation.suppression_rows import PLACE, Place


class PictureLink(NamedTuple):
    """The picture of a class, or why there is none."""

    place: Place
    label: int
    class_name: str
    href: str
    """Relative to the file that links to it; empty where there is no picture."""
    note: str
    """What is missing, in words."""
    width: int
    """Of the picture, in pixels."""


def find_pictures(
    folders: Sequence[Path], page: Path, places: Collection[Place]
) -> list[PictureLink]:
    """Which classes have a picture, and where is it?

    Args:
        folders: those that show_suppression.py wrote, in any order.
        page: the file that is to link to them.
        places: the SAEs that the page is about.

    Returns:
        A link for each class of each folder, sorted by SAE and label.

    Raises:
        ValueError: a folder was not written by show_suppression.py, or is of another
            SAE.
    """
    links = []
    for folder in folders:
        found = _find(folder, page)
        if found and (place := found[0].place) not in places:
            raise ValueError(
                f"{folder} shows {place.method} {place.run} in layer {place.layer}, of "
                "which no file of suppression was named: name both"
            )
        links += found
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
    place = Place(**{name: told[name] for name in PLACE})
    return [
        PictureLink(
            place=place,
            label=one["label"],
            class_name=one["class_name"],
            href=link_to(folder / one["picture"], page) if one["picture"] else "",
            note=one["note"],
            width=one["width"],
        )
        for one in told["classes"]
    ]
