"""Write folders that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitproto.core.files import drop_abandoned, partial_of, to_disk


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside `path`, then rename: a reader finds all of it or none.

    All of it is on the disk before it is renamed, so this holds after a power cut, too.

    Yields:
        The folder to fill. It is deleted if the body raises.

    Raises:
        ValueError: `path` already contains a file. A user's files are never replaced.
    """
    if path.exists():
        if not path.is_dir() or any(f.is_file() for f in path.rglob("*")):
            raise ValueError(
                f"{path} already exists: remove it, or name another folder"
            )
        shutil.rmtree(path)
    partial = partial_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    drop_abandoned(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for file in (*partial.rglob("*"), partial):
            to_disk(file)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    os.replace(partial, path)
    to_disk(path.parent)
