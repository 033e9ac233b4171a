"""List the files of a folder."""

import os
from pathlib import Path


def files_of(folder: Path) -> list[str]:
    """The names of all files in a folder, hidden ones too, sorted; links are followed.

    A folder may have the name of an image; it is not listed.
    """
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file())
