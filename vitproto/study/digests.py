"""Digests of files, kept so that a file is read again only when its dates changed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident

from vitproto.files import sha256_of, whole_file

_FRESH_NS = 2 * 10**9  # a file may change twice within one tick of the disk's clock

_Stat = list[int]


class Digests:
    """The SHA-256 of files, looked up by path, size, dates and inode.

    Dates only say whether to look: a file that was touched or copied has the digest
    that it had.
    """

    def __init__(self, path: Path) -> None:
        """Start with what `path` remembers; nothing where it is not there."""
        self._path = path
        self._found: dict[str, tuple[_Stat, str]] = {}
        self._alike: dict[str, list[str]] = {}
        self._changed = False
        self._watched: dict[int, dict[Path, _Stat]] = {}  # by thread
        try:
            text = json.loads(path.read_text(encoding="utf-8"))
            found = {name: (stat, digest) for name, (stat, digest) in text["files"]}
            self._found, self._alike = found, dict(text["alike"])
        except (OSError, ValueError, TypeError, KeyError):
            pass  # all it costs is to read the files again

    def of(self, file: Path) -> str:
        """The SHA-256 of a file, 64 hexadecimal digits."""
        name = str(file.absolute())
        stat = _stat(file)
        if (watched := self._watched.get(get_ident())) is not None:
            watched.setdefault(file, stat)
        known = self._found.get(name)
        if known is not None and known[0] == stat:
            return known[1]
        digest = sha256_of(file).hex()
        newest = max(stat[1], stat[2])
        if stat == _stat(file) and newest < time.time_ns() - _FRESH_NS:
            self._found[name] = (stat, digest)
            self._changed = True
        return digest

    @contextmanager
    def watched(self) -> Iterator[list[Path]]:
        """Which of the files that this thread looks at change before the block ends?

        Yields:
            These files, once the block has ended; one that was changed and changed
            back is among them.
        """
        watched = self._watched[get_ident()] = {}
        changed: list[Path] = []
        try:
            yield changed
        finally:
            del self._watched[get_ident()]
        changed += [file for file, stat in watched.items() if _now(file) != stat]

    def are_alike(self, digest: str, earlier: str) -> bool:
        """Are the images of two digests known to differ in their dates alone?"""
        return earlier in self._alike.get(digest, ())

    def note_alike(self, digest: str, earlier: str) -> None:
        """Remember that the images of two digests differ in their dates alone."""
        self._alike.setdefault(digest, []).append(earlier)
        self._changed = True

    def save(self) -> None:
        """Remember what was found, if anything is new, beside results that exist."""
        if self._changed and self._path.parent.is_dir():
            files = [[name, known] for name, known in sorted(self._found.items())]
            with whole_file(self._path, shared=True) as partial:
                text = json.dumps({"files": files, "alike": self._alike})
                partial.write_text(text, encoding="utf-8")
            self._changed = False


def _now(file: Path) -> _Stat | None:
    try:
        return _stat(file)
    except OSError:
        return None


def _stat(file: Path) -> _Stat:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
