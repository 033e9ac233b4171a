"""Outputs that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write beside `path`, then rename: a reader finds the whole file or none.

    Yields:
        Where to write. The suffix is that of `path`, since some writers choose
        their format by it. Left alone when the body raises; a second try
        overwrites it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    yield partial
    os.replace(partial, path)
