"""What jobs read that the workflow does not make, beside the inputs that rules list.

Images count by content too, but half a million are not read for every dry run: how
they look from outside, by path, size and date, says whether to read them.
"""

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from vitproto.activations.image_digests import read_image_digests, read_image_ids
from vitproto.activations.sharding import shard_range
from vitproto.core.files import sha256_of
from vitproto.core.progress import progress_bar
from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import ABSENT, ANY, GONE, image_sum


class Stat(NamedTuple):
    """What decides, without a look inside, whether a file is the same."""

    size: int
    mtime_ns: int


@runtime_checkable
class RawFiles(Protocol):
    """Files that a job reads: rules list them as a parameter, which is no setting."""

    def digests(self, known: Digests) -> dict[str, str]:
        """Their digests today by name; of what is not there `ABSENT` or `GONE`."""
        ...


@dataclass(frozen=True)
class Absent:
    """What is not here, so that nothing of it can be compared."""

    what: str
    """What messages call it: `the data set birds (root: /data/birds)`."""
    file: str = ANY
    """The name of the file that a job would read; any if nobody knows."""

    def digests(self, known: Digests) -> dict[str, str]:
        """Whatever a job has read of it, it may read again."""
        return {self.file: ABSENT}


@dataclass(frozen=True)
class Files:
    """Some files, by content."""

    paths: tuple[tuple[str, Path], ...]
    """What messages call each, and where it is."""

    def digests(self, known: Digests) -> dict[str, str]:
        """The digest of each."""
        return {
            what: known.of(path) if path.is_file() else GONE
            for what, path in self.paths
        }


@dataclass(frozen=True)
class Names:
    """The names of all files below a folder."""

    what: str
    """What messages call them: `the names in inat21`."""
    folder: Path

    def digests(self, known: Digests) -> dict[str, str]:
        """One digest of all names; of hidden files none."""
        if not self.folder.is_dir():
            return {self.what: GONE}
        names = "\n".join(sorted(files_below(self.folder)))
        return {self.what: hashlib.sha256(os.fsencode(names)).hexdigest()}


@dataclass(frozen=True)
class Places:
    """Where parts of a data set lie below its root, wherever that is."""

    what: str
    """What messages call them: `where the images of birds lie in its root`."""
    root: Path
    parts: tuple[Path, ...]

    def digests(self, known: Digests) -> dict[str, str]:
        """One digest of their paths relative to the root."""
        places = "\n".join(os.path.relpath(part, self.root) for part in self.parts)
        return {self.what: hashlib.sha256(os.fsencode(places)).hexdigest()}


@dataclass(frozen=True)
class Contents:
    """Every file below a folder, by content."""

    what: str
    folder: Path

    def digests(self, known: Digests) -> dict[str, str]:
        """One digest of all names and contents."""
        if not self.folder.is_dir():
            return {self.what: GONE}
        digest = hashlib.sha256()
        for name in sorted(files_below(self.folder)):
            digest.update(os.fsencode(name) + b"\0")
            digest.update(known.of(self.folder / name).encode())
        return {self.what: digest.hexdigest()}


@dataclass(frozen=True)
class Images:
    """The images of one shard of a data set, by content as far as it is known."""

    what: str
    root: Path
    images: Path
    """The data set's list of images, which decides what a shard holds."""
    i_shard: int
    n_shards: int

    def digests(self, known: Digests) -> dict[str, str]:
        """A sum over images; `ABSENT` without the list or the whole data set.

        Where nobody has read images that look like these, their look stands in.
        """
        look = self.look()
        return {self.what: (look and known.of_images(look)) or look or ABSENT}

    def look(self) -> str | None:
        """A digest of path, size and date of each; None where they are not here."""
        return _look_of_images(self.root, self.images, self.i_shard, self.n_shards)

    def read(self, known: Digests) -> str | None:
        """The digest of what they hold, known from now on; None if one is gone."""
        found, look = self._stats(), self.look()
        if found is None or look is None or None in found.values():
            return None
        with progress_bar(len(found), "images compared") as progress:
            contents = []
            for path, stat in found.items():
                contents.append(_content(self.root / path, stat))
                progress.update()
        content = _sum_of_contents(found, contents)
        known.note_images(look, content)
        return content

    def recorded_in(self, shard: Path) -> str | None:
        """The same of what a shard was recorded from; None if it does not say."""
        found, recorded = self._stats(), read_image_digests(shard)
        if found is None or recorded is None or len(recorded) != len(found):
            return None
        return None if None in found.values() else _sum_of_contents(found, recorded)

    def unlike(self, shard: Path) -> list[str]:
        """The images, by path, that hold something else than a shard was recorded from.

        All are read. Nothing is said if the shard does not tell, or has other images.
        """
        found, recorded = self._stats(), read_image_digests(shard)
        if found is None or recorded is None or read_image_ids(shard) != self._ids():
            return []
        names = []
        with progress_bar(len(found), "images compared") as progress:
            for (path, stat), digest in zip(found.items(), recorded, strict=True):
                if stat is None:
                    names.append(f"{path} (gone)")
                elif _content(self.root / path, stat) != digest:
                    names.append(path)
                progress.update()
        return names

    def _ids(self) -> list[str]:
        ids = _listed(self.images, "image_id")
        return [ids[i] for i in shard_range(len(ids), self.i_shard, self.n_shards)]

    def _stats(self) -> "_Stats | None":
        return _stats_of_images(self.root, self.images, self.i_shard, self.n_shards)


_Stats = Mapping[str, Stat | None]


@cache
def _content(image: Path, stat: Stat) -> bytes:
    """Encoders often share images, but not how these are cut into shards."""
    return sha256_of(image)


def _sum_of_contents(found: _Stats, contents: Iterable[bytes]) -> str:
    return image_sum(
        (_size_of(path, stat), _sha256(f"{path}\0{content.hex()}"))
        for (path, stat), content in zip(found.items(), contents, strict=True)
    )


@cache
def _look_of_images(
    root: Path, images: Path, i_shard: int, n_shards: int
) -> str | None:
    found = _stats_of_images(root, images, i_shard, n_shards)
    if found is None:
        return None
    return image_sum(
        (_size_of(path, stat), _sha256(f"{path}\0{stat.mtime_ns if stat else GONE}"))
        for path, stat in found.items()
    )


def _stats_of_images(
    root: Path, images: Path, i_shard: int, n_shards: int
) -> _Stats | None:
    if not root.is_dir() or not any(root.iterdir()) or not images.is_file():
        return None
    paths = _listed(images, "path")
    if len(paths) < n_shards:
        return None
    found = {}
    for i in shard_range(len(paths), i_shard, n_shards):
        folder, _, name = paths[i].rpartition("/")
        found[paths[i]] = _list(os.path.join(root, folder)).files.get(name)
    return found


def _size_of(path: str, stat: Stat | None) -> bytes:
    return _sha256(f"{path}\0{stat.size if stat else GONE}")


def _sha256(text: str) -> bytes:
    return hashlib.sha256(os.fsencode(text)).digest()


@cache
def _listed(images: Path, column: str) -> Sequence[str]:
    """A column of a list of images."""
    with images.open(encoding="utf-8", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


class _Listing(NamedTuple):
    files: dict[str, Stat]
    folders: list[str]


@cache
def _list(folder: str) -> _Listing:
    """What lies in a folder and is not hidden; links count as what they lead to."""
    files, folders = {}, []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.is_file():
                    stat = entry.stat()
                    files[entry.name] = Stat(stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        pass
    return _Listing(files, folders)


def files_below(folder: Path) -> dict[str, Stat]:
    """Size and date of each file below a folder, by path below it."""
    return dict(_walk(str(folder), "", ()))


def _walk(root: str, folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, Stat]]:
    path = os.path.join(root, folder)
    here = os.path.realpath(path)
    if here in above:  # a link that leads back; the stage that reads it says so
        return
    files, folders = _list(path)
    prefix = f"{folder}/" if folder else ""
    for name, stat in files.items():
        yield prefix + name, stat
    for name in folders:
        yield from _walk(root, prefix + name, (*above, here))


def look_again() -> None:
    """Forget what the disk looked like, since it may have changed."""
    for looked in (_listed, _list, _look_of_images):
        looked.cache_clear()
