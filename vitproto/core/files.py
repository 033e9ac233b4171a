"""Write files that appear complete or not at all."""

import errno
import glob
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitproto.core.owner import has_ended, owner
from vitproto.core.unreadable import error_number

_NO_ROOM = {
    errno.ENOSPC: "Free some room on its disk",
    errno.EDQUOT: "Free some of your quota on its disk",
    errno.EFBIG: "Raise the largest size of files (ulimit -f)",
}
"""What to do where a file cannot grow, by error number."""

_PARTIAL = r"\.partial-(.+?-[0-9a-f]{8}-\d*-\d+|.+?-\d+)-.+"
"""The name of a partial file, with its owner."""

ABANDONED_AFTER_S = 86_400
"""Age at which a partial file counts as abandoned if its process cannot be looked up
from here."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write beside `path`, then rename: a reader finds the complete file or none.

    It is on the disk before it is renamed, so this holds after a power cut, too. Two
    jobs may write the same file at once: each writes to a file of its own, and the last
    one to finish wins. What killed jobs left is deleted.

    Yields:
        The path to write to. It has the suffix of `path`, since some writers choose
        their format by it. If the body raises, the file is deleted.

    Raises:
        ValueError: the disk is full, a quota or the largest size of files is reached,
            or `path` is a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder where a file is to be written: remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    drop_abandoned(path)
    try:
        yield partial
        to_disk(partial)
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        number = error_number(error) if isinstance(error, Exception) else None
        if number not in _NO_ROOM:
            raise
        raise ValueError(
            f"{path} cannot be written: {os.strerror(number)} (errno {number}). "
            f"{_NO_ROOM[number]}, and run again"
        ) from error
    to_disk(path.parent)


def partial_of(path: Path) -> Path:
    """Where this process writes a file or folder before it is whole."""
    return path.with_name(f".partial-{owner()}-{path.name}")


def drop_abandoned(path: Path) -> None:
    """Delete what killed jobs left of a file or folder, which may be large."""
    for partial in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        if not re.fullmatch(_PARTIAL, partial.name) or is_being_written(partial):
            continue
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def is_being_written(path: Path) -> bool:
    """Whether this is the partial file of a process that may still run."""
    name = re.fullmatch(_PARTIAL, path.name)
    try:
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    return name is not None and not has_ended(name[1], age_s, ABANDONED_AFTER_S)


def to_disk(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems of networks know no fsync, for folders above all.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_text(text: str, path: Path) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> bytes:
    """The SHA-256 of a file, 32 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
