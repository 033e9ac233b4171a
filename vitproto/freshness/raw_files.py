"""Digests of files that jobs read besides their inputs and that no job makes.

Images count by content too, but half a million images are not read for every dry run:
their paths, sizes and dates (their "look") decide whether to read them.
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
    """Properties that show, without reading a file, whether it may be the same."""

    size: int
    mtime_ns: int


@runtime_checkable
class RawFiles(Protocol):
    """Files that a job reads; rules list them in the parameter `reads`."""

    def digests(self, known: Digests) -> dict[str, str]:
        """Their digests today by name; for missing files `ABSENT` or `GONE`."""
        ...


@dataclass(frozen=True)
class Absent:
    """A data set, encoder or file that is not here and cannot be compared."""

    what: str
    """Its name in messages: `the data set birds (root: /data/birds)`."""
    file: str = ANY
    """The name of the file that a job would read, if known."""

    def digests(self, known: Digests) -> dict[str, str]:
        """A placeholder: any file of it that was read counts as unchanged."""
        return {self.file: ABSENT}


@dataclass(frozen=True)
class Files:
    """Files that count by content."""

    paths: tuple[tuple[str, Path], ...]
    """The name of each in messages, and its path."""

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
    """Their description in messages: `the names in inat21`."""
    folder: Path

    def digests(self, known: Digests) -> dict[str, str]:
        """One digest of all names except those of hidden files."""
        if not self.folder.is_dir():
            return {self.what: GONE}
        names = "\n".join(sorted(files_below(self.folder)))
        return {self.what: hashlib.sha256(os.fsencode(names)).hexdigest()}


@dataclass(frozen=True)
class Places:
    """The paths of parts of a data set relative to its root."""

    what: str
    """Their description in messages: `where the images of birds lie in its root`."""
    root: Path
    parts: tuple[Path, ...]

    def digests(self, known: Digests) -> dict[str, str]:
        """One digest of their paths relative to the root."""
        places = "\n".join(os.path.relpath(part, self.root) for part in self.parts)
        return {self.what: hashlib.sha256(os.fsencode(places)).hexdigest()}


@dataclass(frozen=True)
class Contents:
    """All files below a folder, which count by content."""

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
    """The images of one shard of a data set, which count by content."""

    what: str
    root: Path
    images: Path
    """The data set's list of images, which determines the images of a shard."""
    i_shard: int
    n_shards: int

    def digests(self, known: Digests) -> dict[str, str]:
        """A sum over images; `ABSENT` without the list or the whole data set.

        It is their content if that is known, and their look otherwise.
        """
        look = self.look()
        return {self.what: (look and known.of_images(look)) or look or ABSENT}

    def look(self) -> str | None:
        """A digest of path, size and date of each; None if they are not here."""
        return _look_of_images(self.root, self.images, self.i_shard, self.n_shards)

    def read(self, known: Digests) -> str | None:
        """Read them for the digest of their content; None if an image is missing."""
        stats, look = self._stats(), self.look()
        if stats is None or look is None or None in stats.values():
            return None
        with progress_bar(len(stats), "images compared") as progress:
            contents = []
            for path, stat in stats.items():
                contents.append(_content(self.root / path, stat))
                progress.update()
        content = _sum_of_contents(stats, contents)
        known.note_images(look, content)
        return content

    def recorded_in(self, shard: Path) -> str | None:
        """The digest of the content that a shard was recorded from, if it has one."""
        stats, recorded = self._stats(), read_image_digests(shard)
        if stats is None or recorded is None or len(recorded) != len(stats):
            return None
        return None if None in stats.values() else _sum_of_contents(stats, recorded)

    def unlike(self, shard: Path) -> list[str]:
        """The paths of images that changed since a shard was recorded.

        Reads all images. Empty if the shard has no digests, or holds other images.
        """
        stats, recorded = self._stats(), read_image_digests(shard)
        if stats is None or recorded is None or read_image_ids(shard) != self._ids():
            return []
        names = []
        with progress_bar(len(stats), "images compared") as progress:
            for (path, stat), digest in zip(stats.items(), recorded, strict=True):
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
    """The digest of an image, cached: encoders share images, but not their shards."""
    return sha256_of(image)


def _sum_of_contents(stats: _Stats, contents: Iterable[bytes]) -> str:
    return image_sum(
        (_size_of(path, stat), _sha256(f"{path}\0{content.hex()}"))
        for (path, stat), content in zip(stats.items(), contents, strict=True)
    )


@cache
def _look_of_images(
    root: Path, images: Path, i_shard: int, n_shards: int
) -> str | None:
    stats = _stats_of_images(root, images, i_shard, n_shards)
    if stats is None:
        return None
    return image_sum(
        (_size_of(path, stat), _sha256(f"{path}\0{stat.mtime_ns if stat else GONE}"))
        for path, stat in stats.items()
    )


def _stats_of_images(
    root: Path, images: Path, i_shard: int, n_shards: int
) -> _Stats | None:
    if not root.is_dir() or not any(root.iterdir()) or not images.is_file():
        return None
    paths = _listed(images, "path")
    if len(paths) < n_shards:
        return None
    stats = {}
    for i in shard_range(len(paths), i_shard, n_shards):
        folder, _, name = paths[i].rpartition("/")
        stats[paths[i]] = _list(os.path.join(root, folder)).files.get(name)
    return stats


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
    """The files and folders in a folder except hidden ones; links are followed."""
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
    if here in above:  # a circular link; the stage that reads it reports it
        return
    files, folders = _list(path)
    prefix = f"{folder}/" if folder else ""
    for name, stat in files.items():
        yield prefix + name, stat
    for name in folders:
        yield from _walk(root, prefix + name, (*above, here))


def look_again() -> None:
    """Forget cached listings of the disk, which may have changed."""
    for listing in (_listed, _list, _look_of_images):
        listing.cache_clear()
