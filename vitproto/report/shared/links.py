"""Links to the folders of other stages, and the notes that lie in them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vitproto.core.unreadable import UnreadableError, unreadable


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
    with naming_note(folder, name, stage):
        return dict(json.loads(note.read_text(encoding="utf-8")))


@contextmanager
def naming_note(folder: Path, name: str, stage: str) -> Iterator[None]:
    """Name the note in what goes wrong where its contents are used.

    Raises:
        ValueError: the note is damaged, or lacks what it should hold.
    """
    try:
        yield
    except UnreadableError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, LookupError) else f"{error}"
        remedy = f"delete {folder} and run {stage} again"
        note = folder / name
        damaged = f"{note} is damaged ({why}): {remedy}"
        raise unreadable(note, error, damaged) from error


def check_keys(part: dict[str, Any], *keys: str) -> None:
    """Check that a part of a note has some keys.

    Raises:
        KeyError: it lacks one.
    """
    for key in keys:
        part[key]
