"""Write files that appear complete or not at all."""

import errno
import glob
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitproto.core.unreadable import error_number

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

ABANDONED_AFTER_S = 86_400
"""Age at which a partial file of another machine counts as abandoned: its process
cannot be checked from here."""


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write beside `path`, then rename: a reader finds the complete file or none.

    It is on the disk before it is renamed, so this holds after a power cut, too.

    Args:
        path: the file to write.
        shared: whether another job may write the same file at the same time. Each job
            then writes to a file of its own, and the last one to finish wins.

    Yields:
        The path to write to. It has the suffix of `path`, since some writers choose
        their format by it. If the body raises, the file stays; the next try
        overwrites or deletes it.

    Raises:
        ValueError: the disk is full, or a quota or the largest size of files is
            reached. The partial file is then deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = f"{socket.gethostname()}-{os.getpid()}-" if shared else ""
    partial = path.with_name(f".partial-{owner}{path.name}")
    if shared:
        _drop_abandoned(path)
    try:
        yield partial
        to_disk(partial)
    except Exception as error:
        number = error_number(error)
        if number not in _NO_ROOM:
            raise
        partial.unlink(missing_ok=True)
        raise ValueError(
            f"{path} cannot be written: {os.strerror(number)} (errno {number}). Free "
            "some room on its disk, and run again"
        ) from error
    os.replace(partial, path)
    to_disk(path.parent)


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


def _drop_abandoned(path: Path) -> None:
    """Delete partial files of killed jobs, which may be large."""
    this_host = socket.gethostname()
    pattern = re.compile(rf"\.partial-(.+)-(\d+)-{re.escape(path.name)}")
    for partial in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        if name := pattern.fullmatch(partial.name):
            host, pid = name.groups()
            try:
                age_s = time.time() - partial.stat().st_mtime
                is_abandoned = host == this_host and not _runs(int(pid))
                if is_abandoned or age_s > ABANDONED_AFTER_S:
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
