"""What the page of a study shows of the pages of traits: links, and some pictures."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.report.shared.links import check_keys, link_to, naming_note, read_note

SHOWN_KEYS = ("heading", "trait", "page", "text", "method", "images")
"""What `highlights.json` says of each trait."""

IMAGE_KEYS = ("image_id", "class_name", "thumbnail", "shows", "score", "overlay")
"""What it says of each image."""


class Highlights(NamedTuple):
    """Some traits in pictures."""

    place: str
    """The layer whose prototypes are shown, in words."""
    n_traits: int
    """The traits among which they were picked."""
    are_common: bool
    """Whether these are those that enough classes of test images show."""
    shown: list[dict[str, Any]]
    """The traits as `highlights.json` describes them: `heading`, `trait`, `page`,
    `text`, `method` and `images`."""
    folder: str
    """Where their images are, relative to the page that shows them."""


class TraitLinks(NamedTuple):
    """The pages that show_traits.py wrote, relative to the page that links to them."""

    index: str
    """The list of all traits."""
    pages: dict[str, str]
    """The page of each trait."""
    highlights: Highlights


def name_page(t: int, trait: str) -> str:
    """The name of a trait's page: `012-has-wing-color-blue.html`."""
    words = re.sub(r"[^a-z0-9]+", "-", trait.lower()).strip("-")[:60]
    return f"{t:03d}-{words}.html" if words else f"{t:03d}.html"


def find_trait_pages(folder: Path, page: Path) -> TraitLinks:
    """Find the pages of traits.

    Args:
        folder: the folder that show_traits.py wrote.
        page: the file that links to them.

    Raises:
        ValueError: the folder does not say which page is whose, or what to show.
    """
    names = read_note(folder, "pages.json", "show_traits")
    with naming_note(folder, "pages.json", "show_traits"):
        pages = {trait: link_to(folder / name, page) for trait, name in names.items()}
        if not pages:
            raise ValueError("it names no page")
    noted = read_note(folder, "highlights.json", "show_traits")
    with naming_note(folder, "highlights.json", "show_traits"):
        highlights = Highlights(
            str(noted["place"]),
            int(noted["n_traits"]),
            bool(noted["are_common"]),
            [{key: one[key] for key in SHOWN_KEYS} for one in noted["highlights"]],
            link_to(folder / "images", page),
        )
        for one in highlights.shown:
            if one["trait"] not in pages:
                raise ValueError(f"it shows {one['trait']!r}, which has no page")
            for image in one["images"]:
                check_keys(image, *IMAGE_KEYS)
                check_keys(image["thumbnail"], "name", "width", "height")
    return TraitLinks(link_to(folder / "index.html", page), pages, highlights)
