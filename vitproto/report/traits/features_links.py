"""Where the pages of features lie, for the page that links to them."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote


class FeaturesLink(NamedTuple):
    """The page that shows prototypes of a run."""

    encoder: str
    layer: int
    method: str
    run: str
    href: str
    """Relative to the page that links to it."""


def find_pages(folders: Sequence[Path], page: Path) -> list[FeaturesLink]:
    """Which runs have a page of features, and where is it?

    Args:
        folders: those that show_features.py wrote, in any order.
        page: the file that is to link to them.

    Returns:
        A link for each folder, sorted by run.
    """
    return sorted(_find_page(folder, page) for folder in folders)


def _find_page(folder: Path, page: Path) -> FeaturesLink:
    numbers = folder / "features.json"
    if not numbers.is_file():
        raise ValueError(
            f"{folder} holds no features.json: name a folder that show_features wrote"
        )
    found = json.loads(numbers.read_text(encoding="utf-8"))
    path = os.path.relpath(folder / "index.html", page.parent)
    return FeaturesLink(
        encoder=found["encoder"],
        layer=found["layer"],
        method=found["method"],
        run=found["run"],
        href=quote(Path(path).as_posix()),
    )
