"""Output folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside `path`, then rename: a reader finds all of it or none.

    Yields:
        The folder to fill. When the body raises, what it wrote is removed.

    Raises:
        ValueError: where `path` already holds a file. Nothing of a user's is ever
            replaced.
    """
    if path.exists():
        if not path.is_dir() or any(f.is_file() for f in path.rglob("*")):
            raise ValueError(
                f"{path} already exists: remove it, or name another folder"
            )
        shutil.rmtree(path)
    partial = path.with_name(f".partial-{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    os.replace(partial, path)
