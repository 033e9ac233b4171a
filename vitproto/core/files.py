"""Outputs that appear whole or not at all."""

import glob
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFT_OVER_AFTER_S = 86_400
"""How old a partial file of another machine must be to count as left over: whether its
writer still runs cannot be checked from here."""


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
        overwrites or deletes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f"{socket.gethostname()}-{os.getpid()}-" if shared else ""
    partial = path.with_name(f".partial-{owner}{path.name}")
    if shared:
        _drop_left_over(path)
    yield partial
    os.replace(partial, path)


def write_text(text: str, path: Path) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _drop_left_over(path: Path) -> None:
    """Delete what killed jobs have written of a file, which may be large."""
    host = socket.gethostname()
    pattern = re.compile(rf"\.partial-(.+)-(\d+)-{re.escape(path.name)}")
    for partial in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        if found := pattern.fullmatch(partial.name):
            try:
                age_s = time.time() - partial.stat().st_mtime
                is_left = found[1] == host and not _runs(int(found[2]))
                if is_left or age_s > LEFT_OVER_AFTER_S:
                    partial.unlink()
            except FileNotFoundError:
                continue  # its job has just ended


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def sha256_of(path: Path) -> bytes:
    """The SHA-256 of a file, 32 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
