"""Links to the pages that show prototypes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vitproto.report.shared.links import link_to, read_note


class FeaturesLink(NamedTuple):
    """The page that shows prototypes of a run."""

    encoder: str
    layer: int
    method: str
    run: str
    href: str
    """Relative to the page that links to it."""


def find_pages(folders: Sequence[Path], page: Path) -> list[FeaturesLink]:
    """Find the pages that show_features.py wrote.

    Args:
        folders: the folders that it wrote, in any order.
        page: the file that links to them.

    Returns:
        A link for each folder, sorted by run.
    """
    return sorted(_find_page(folder, page) for folder in folders)


def _find_page(folder: Path, page: Path) -> FeaturesLink:
    note = read_note(folder, "features.json", "show_features")
    run = {name: note[name] for name in ("encoder", "layer", "method", "run")}
    return FeaturesLink(**run, href=link_to(folder / "index.html", page))
