"""Tell files that the file system does not give out from damaged ones.

Damaged files are deleted and made again. A lock, a lost server, a missing permission or
too many open files say nothing about what is in a file, and must not end in that
advice: it may be about a terabyte of activations.
"""

import errno
import os
import re
from pathlib import Path

_OF_CONTENTS = {0, errno.EINVAL, errno.EFBIG, errno.EOVERFLOW, errno.ERANGE}
"""Error numbers that a damaged offset or size causes."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR}

_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}

_TOO_MANY = {errno.EMFILE, errno.ENFILE}

_MISNAMED = {errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTEMPTY}

_OPEN_OTHERWISE = "flag values don't match"
"""In the text of HDF5's error about a file that the same process has open already."""

_IN_MESSAGES = re.compile(r"errno = (\d+)|os error (\d+)")
"""How HDF5 and safetensors name the error number in the texts of their errors."""


class UnreadableError(ValueError):
    """A file could not be read."""


class DamagedError(UnreadableError):
    """A file that is missing or damaged, so that it must be made again."""


def unreadable(path: Path, error: Exception, damaged: str) -> UnreadableError:
    """The error to raise where a file could not be read.

    Args:
        path: the file.
        error: what reading it raised.
        damaged: what to say if the file itself is to blame, with what to do.
    """
    if _OPEN_OTHERWISE in str(error):
        return UnreadableError(
            f"{path} cannot be read: this process has it open in another way "
            f"({error}). Keep it, and close it there first"
        )
    number = file_system_error(path, error)
    if number is None:
        return DamagedError(damaged)
    if number in _ABSENT:
        return DamagedError(_describe(path, number))
    return UnreadableError(_describe(path, number))


def file_system_error(path: Path, error: Exception) -> int | None:
    """The number of the error with which the file system failed; None if it did not.

    Some readers do not pass it on, so the file is opened once more to see.
    """
    number = error_number(error)
    if number is not None and number not in _OF_CONTENTS:
        return number
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as again:
        return again.errno
    except ValueError:  # a path that no file can have
        pass
    return None


def describe_file_system_error(error: OSError) -> str | None:
    """The sentence for an error that the file system is to blame for.

    None for a file that is missing or exists already: whoever asked for it should know.
    """
    number = error_number(error)
    if number in (None, 0, errno.EBADF, errno.EEXIST, *_ABSENT):
        return None
    what = error.filename or str(error)
    return (
        f"{what} cannot be read or written: {os.strerror(number)} (errno {number}). "
        f"{_remedy(number)}"
    )


def error_number(error: Exception) -> int | None:
    """The number that the file system gave an error, if it has one."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    named = _IN_MESSAGES.search(str(error))
    return int(named[1] or named[2]) if named else None


def _describe(path: Path, number: int) -> str:
    if number in _ABSENT:
        return (
            f"there is no {path}: run the stage that makes it, or name a file that is "
            "there"
        )
    return (
        f"{path} cannot be read: {os.strerror(number)} (errno {number}). This is an "
        "error of the file system and says nothing about the file, so keep it. "
        f"{_remedy(number)}"
    )


def _remedy(number: int) -> str:
    """What to do about an error of the file system."""
    if number in _FORBIDDEN:
        return "Change the permissions of the file or its folder, and run again"
    if number in _TOO_MANY:
        return "Raise the largest number of open files (ulimit -n), and run again"
    if number in _MISNAMED:
        return "Name another file, and run again"
    return "Run again when the file system works"
