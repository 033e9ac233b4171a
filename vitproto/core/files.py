"""Write files that appear complete or not at all."""

import errno
import glob
import hashlib
import os
import re
import shutil
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
def whole_file(path: Path) -> Iterator[Path]:
    """Write beside `path`, then rename: a reader finds the complete file or none.

    It is on the disk before it is renamed, so this holds after a power cut, too. Two
    jobs may write the same file at once: each writes to a file of its own, and the last
    one to finish wins. What killed jobs left is deleted.

    Yields:
        The path to write to. It has the suffix of `path`, since some writers choose
        their format by it. If the body raises, the file is deleted.

    Raises:
        ValueError: the disk is full, or a quota or the largest size of files is
            reached.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    drop_abandoned(path)
    try:
        yield partial
        to_disk(partial)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        number = error_number(error) if isinstance(error, Exception) else None
        if number not in _NO_ROOM:
            raise
        raise ValueError(
            f"{path} cannot be written: {os.strerror(number)} (errno {number}). Free "
            "some room on its disk, and run again"
        ) from error
    os.replace(partial, path)
    to_disk(path.parent)


def owner() -> str:
    """The name of this process in the names of its files: host and process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def is_abandoned(name: str, age_s: float, after_s: int) -> bool:
    """Whether the process with this `owner` name has ended.

    Args:
        name: what `owner` returned there.
        age_s: how long ago it last wrote.
        after_s: the age that shows it, if the process ran on another machine. One of
            this machine may be silent for as long as it likes.
    """
    host, _, pid = name.rpartition("-")
    if host == socket.gethostname() and pid.isdigit():
        return not _runs(int(pid))
    return age_s > after_s


def partial_of(path: Path) -> Path:
    """Where this process writes a file or folder before it is whole."""
    return path.with_name(f".partial-{owner()}-{path.name}")


def drop_abandoned(path: Path) -> None:
    """Delete what killed jobs left of a file or folder, which may be large."""
    pattern = re.compile(rf"\.partial-(.+-\d+)-{re.escape(path.name)}")
    for partial in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        if name := pattern.fullmatch(partial.name):
            try:
                age_s = time.time() - partial.stat().st_mtime
                if is_abandoned(name[1], age_s, ABANDONED_AFTER_S):
                    if partial.is_dir():
                        shutil.rmtree(partial, ignore_errors=True)
                    else:
                        partial.unlink()
            except FileNotFoundError:
                continue  # its job has just ended


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


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and its parent does not ask how.

    In a container without an init process that stays so for ever.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The name, in brackets, may hold anything.
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def sha256_of(path: Path) -> bytes:
    """The SHA-256 of a file, 32 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
