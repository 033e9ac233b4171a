"""Links to the pages of traits."""

from pathlib import Path
from typing import NamedTuple

from vitproto.report.shared.links import link_to, read_note


class TraitLinks(NamedTuple):
    """The pages that show_traits.py wrote, relative to the page that links to them."""

    index: str
    """The list of all traits."""
    pages: dict[str, str]
    """The page of each trait."""


def find_trait_pages(folder: Path, page: Path) -> TraitLinks:
    """Find the pages of traits.

    Args:
        folder: the folder that show_traits.py wrote.
        page: the file that links to them.

    Raises:
        ValueError: the folder does not say which page is whose.
    """
    names = read_note(folder, "pages.json", "show_traits")
    pages = {trait: link_to(folder / name, page) for trait, name in names.items()}
    return TraitLinks(link_to(folder / "index.html", page), pages)
