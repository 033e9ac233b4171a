"""Links to the folders of other stages, and the notes that lie in them."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vitproto.core.unreadable import unreadable


def link_to(path: Path, page: Path) -> str:
    """The address of a file, relative to the page that links to it."""
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())


def read_note(folder: Path, name: str, stage: str) -> dict[str, Any]:
    """Read the JSON file in which a stage describes the folder it wrote.

    Raises:
        ValueError: the folder holds no such file, or it is damaged.
    """
    note = folder / name
    if not note.is_file():
        raise ValueError(f"{folder} holds no {name}: name a folder that {stage} wrote")
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(
            note,
            error,
            f"{note} is damaged ({error}): delete {folder} and run {stage} again",
        ) from error
