"""Links to the pictures of suppression."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.report.segmentation.suppression_rows import PLACE, Place
from vitproto.report.shared.links import check_keys, link_to, naming_note, read_note

PAGE = "index.html"
"""The page of a segmentation study, which shows the pictures."""


IMAGE_KEYS = (
    *("image_id", "n_pixels", "n_found_before", "n_found_after", "labels"),
    *("window", "true", "before", "after", "width", "height", "heat"),
)
"""What `pictures.json` says of each image."""


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
        with naming_note(folder, "pictures.json", "show_suppression"):
            shown = list(_read_classes(note, link_to(folder, page)))
            place = Place(**{name: note[name] for name in PLACE})
        if place not in places:
            raise ValueError(
                f"{folder} shows {place.method} {place.run} in layer {place.layer}, "
                "but no suppression file of this SAE was named: name both"
            )
        found += shown
    return sorted(found, key=lambda shown: (shown.place, shown.label))


def _read_classes(note: dict[str, Any], folder: str) -> Iterator[ClassPictures]:
    place = Place(**{name: note[name] for name in PLACE})
    doses = tuple(map(float, note["settings"]["doses"]))
    if not doses:
        raise ValueError("it names no dose")
    for about in note["classes"]:
        for image in about["images"]:
            check_keys(image, *IMAGE_KEYS)
            if {len(image["after"]), len(image["n_found_after"])} != {len(doses)}:
                raise ValueError(
                    f"{image['image_id']} has {len(image['after'])} pictures and "
                    f"{len(image['n_found_after'])} counts for {len(doses)} doses"
                )
        shown = {label for image in about["images"] for label in image["labels"]}
        yield ClassPictures(
            *(place, about["label"], about["class_name"], about["note"], folder, doses),
            *(about["highest"], about["images"]),
            {label: note["colors"][str(label)] for label in sorted(shown - {0})},
        )
