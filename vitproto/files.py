"""Outputs that appear whole or not at all."""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write beside `path`, then rename: a reader finds the whole file or none.

    Args:
        path: the file to write.
        shared: whether another job may write the same file at the same time. Each then
            writes under a name of its own, and the last one stays.

    Yields:
        Where to write. The suffix is that of `path`, since some writers choose
        their format by it. Left alone when the body raises; a second try
        overwrites it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f"{socket.gethostname()}-{os.getpid()}-" if shared else ""
    partial = path.with_name(f".partial-{owner}{path.name}")
    yield partial
    os.replace(partial, path)


def sha256_of(path: Path) -> bytes:
    """The SHA-256 of a file, 32 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
