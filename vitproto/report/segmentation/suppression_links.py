"""Links to the pictures of suppression."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.report.segmentation.suppression_rows import PLACE, Place
from vitproto.report.shared.links import link_to, read_note

PAGE = "index.html"
"""The page of a segmentation study, which shows the pictures."""


class ClassPictures(NamedTuple):
    """The pictures of a class, or the reason why there are none."""

    place: Place
    label: int
    class_name: str
    note: str
    """Why there are no pictures; empty if there are."""
    folder: str
    """Where they are, relative to the page that shows them."""
    doses: tuple[float, ...]
    """How much its latents are suppressed, in the order of the pictures."""
    highest: float
    """The highest activity of its latents in these images."""
    images: list[dict[str, Any]]
    """As `pictures.json` describes them."""
    colors: dict[int, dict[str, str]]
    """`name` and `color` of the classes that they show, by label."""

    @property
    def anchor(self) -> str:
        """The id of the pictures on the page."""
        place = self.place
        return f"layer{place.layer}-{place.method}-{place.run}-class{self.label}"


def find_pictures(
    folders: Sequence[Path], page: Path, places: Collection[Place]
) -> list[ClassPictures]:
    """Find the pictures that show_suppression.py wrote.

    Args:
        folders: the folders that it wrote, in any order.
        page: the file that shows them or links to them.
        places: the SAEs that the page is about.

    Returns:
        The pictures of each class of each folder, sorted by SAE and label.

    Raises:
        ValueError: a folder was not written by show_suppression.py, or shows another
            SAE.
    """
    found = []
    for folder in folders:
        note = read_note(folder, "pictures.json", "show_suppression")
        place = Place(**{name: note[name] for name in PLACE})
        if place not in places:
            raise ValueError(
                f"{folder} shows {place.method} {place.run} in layer {place.layer}, "
                "but no suppression file of this SAE was named: name both"
            )
        for about in note["classes"]:
            shown = {label for image in about["images"] for label in image["labels"]}
            colors = {
                label: note["colors"][str(label)] for label in sorted(shown - {0})
            }
            found.append(
                ClassPictures(
                    *(place, about["label"], about["class_name"], about["note"]),
                    *(link_to(folder, page), tuple(note["settings"]["doses"])),
                    *(about["highest"], about["images"], colors),
                )
            )
    return sorted(found, key=lambda shown: (shown.place, shown.label))
