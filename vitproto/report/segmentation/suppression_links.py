"""Links to the pictures of suppression."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from vitproto.report.segmentation.suppression_rows import PLACE, Place
from vitproto.report.shared.links import link_to, read_note


class PictureLink(NamedTuple):
    """The picture of a class, or the reason why there is none."""

    place: Place
    label: int
    class_name: str
    href: str
    """Relative to the file that links to it; empty if there is no picture."""
    note: str
    """What is missing, in words."""
    width: int
    """Width of the picture in pixels."""


def find_pictures(
    folders: Sequence[Path], page: Path, places: Collection[Place]
) -> list[PictureLink]:
    """Find the pictures that show_suppression.py drew.

    Args:
        folders: the folders that it wrote, in any order.
        page: the file that links to them.
        places: the SAEs that the page is about.

    Returns:
        A link for each class of each folder, sorted by SAE and label.

    Raises:
        ValueError: a folder was not written by show_suppression.py, or shows another
            SAE.
    """
    links = []
    for folder in folders:
        note = read_note(folder, "pictures.json", "show_suppression")
        place = Place(**{name: note[name] for name in PLACE})
        if place not in places:
            raise ValueError(
                f"{folder} shows {place.method} {place.run} in layer {place.layer}, "
                "but no suppression file of this SAE was named: name both"
            )
        links += [
            PictureLink(
                place=place,
                label=shown["label"],
                class_name=shown["class_name"],
                href=link_to(folder / shown["picture"], page)
                if shown["picture"]
                else "",
                note=shown["note"],
                width=shown["width"],
            )
            for shown in note["classes"]
        ]
    return sorted(links)
