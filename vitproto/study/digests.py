"""Digests of files, kept so that a file is read again only when its dates changed."""

import json
import time
from pathlib import Path

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
        self._same: dict[str, str] = {}
        self._changed = False
        try:
            text = json.loads(path.read_text(encoding="utf-8"))
            found = {name: (stat, digest) for name, (stat, digest) in text["files"]}
            self._found, self._same = found, dict(text["same"])
        except (OSError, ValueError, TypeError, KeyError):
            pass  # all it costs is to read the files again

    def of(self, file: Path) -> str:
        """The SHA-256 of a file, 64 hexadecimal digits."""
        name = str(file.absolute())
        stat = _stat(file)
        known = self._found.get(name)
        if known is not None and known[0] == stat:
            return known[1]
        digest = sha256_of(file).hex()
        newest = max(stat[1], stat[2])
        if stat == _stat(file) and newest < time.time_ns() - _FRESH_NS:
            self._found[name] = (stat, digest)
            self._changed = True
        return digest

    def earlier(self, digest: str) -> str:
        """The digest of the same images with their dates of before, if known."""
        return self._same.get(digest, digest)

    def note_same(self, digest: str, earlier: str) -> None:
        """Remember that the images of two digests differ in their dates alone."""
        self._same[digest] = earlier
        self._changed = True

    def save(self) -> None:
        """Remember what was found, if anything is new, beside results that exist."""
        if self._changed and self._path.parent.is_dir():
            files = [[name, known] for name, known in sorted(self._found.items())]
            with whole_file(self._path, shared=True) as partial:
                text = json.dumps({"files": files, "same": self._same})
                partial.write_text(text, encoding="utf-8")
            self._changed = False


def _stat(file: Path) -> _Stat:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
