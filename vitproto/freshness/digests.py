"""Digests of files, cached so that a file is read again only if its dates changed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident

from vitproto.core.files import sha256_of, whole_file
from vitproto.freshness.origins import is_image_sum

_FRESH_NS = 2 * 10**9  # a file may change twice within one tick of the disk's clock

_Stat = list[int]


class Digests:
    """The SHA-256 of files, looked up by path, size, dates and inode.

    Dates only decide whether to read a file: one that was touched or copied keeps its
    digest.
    """

    def __init__(self, path: Path) -> None:
        """Load the digests in `path`, if it exists."""
        self._path = path
        self._known: dict[str, tuple[_Stat, str]] = {}
        self._images: dict[str, str] = {}
        self._changed = False
        self._watched: dict[int, dict[Path, _Stat]] = {}  # by thread
        try:
            text = json.loads(path.read_text(encoding="utf-8"))
            known = {name: (stat, digest) for name, (stat, digest) in text["files"]}
            images = dict(text["images"])
            if all(map(is_image_sum, (*images, *images.values()))):
                self._known, self._images = known, images
        except (OSError, ValueError, TypeError, KeyError):
            pass  # files are then read again

    def of(self, file: Path) -> str:
        """The SHA-256 of a file, 64 hexadecimal digits."""
        name = str(file.absolute())
        stat = _stat(file)
        if (watched := self._watched.get(get_ident())) is not None:
            watched.setdefault(file, stat)
        known = self._known.get(name)
        if known is not None and known[0] == stat:
            return known[1]
        digest = sha256_of(file).hex()
        newest = max(stat[1], stat[2])
        if stat == _stat(file) and newest < time.time_ns() - _FRESH_NS:
            self._known[name] = (stat, digest)
            self._changed = True
        return digest

    @contextmanager
    def watched(self) -> Iterator[list[Path]]:
        """Collect the files that this thread reads in the block and that change.

        Yields:
            A list that is filled when the block ends. A file that was changed and
            changed back is in it.
        """
        watched = self._watched[get_ident()] = {}
        changed: list[Path] = []
        try:
            yield changed
        finally:
            del self._watched[get_ident()]
        changed += [file for file, stat in watched.items() if _now(file) != stat]

    def of_images(self, look: str) -> str | None:
        """The content of images with this look, if known.

        Args:
            look: a digest of their paths, sizes and dates.
        """
        return self._images.get(look)

    def note_images(self, look: str, content: str | None) -> None:
        """Remember the content of images with this look; with None, forget it."""
        if self._images.get(look) == content:
            return
        self._changed = True
        if content is None:
            del self._images[look]
        else:
            self._images[look] = content

    def save(self) -> None:
        """Write new digests to disk, if the folder of results exists.

        If that fails, files are read again next time.
        """
        if not self._changed or not self._path.parent.is_dir():
            return
        files = [[name, known] for name, known in sorted(self._known.items())]
        text = json.dumps({"files": files, "images": self._images})
        with suppress(OSError, ValueError), whole_file(self._path) as partial:
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
