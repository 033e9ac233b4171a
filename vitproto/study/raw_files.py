"""What jobs read that the workflow does not make, beside the inputs that rules list.

Images count by path, size and date, so that looking at half a million takes seconds.
Where only a date differs, content decides: shards hold the digest of each image that
they were recorded from.
"""

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from vitproto.activations.sharding import shard_range
from vitproto.files import sha256_of
from vitproto.progress import progress_bar
from vitproto.study.digests import Digests
from vitproto.study.origins import ABSENT, ANY, GONE, image_sum


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
    """The images of one shard of a data set, by path, size and date."""

    what: str
    root: Path
    images: Path
    """The data set's list of images, which decides what a shard holds."""
    i_shard: int
    n_shards: int

    def digests(self, known: Digests) -> dict[str, str]:
        """A sum over images; `ABSENT` without the list or the whole data set."""
        digest = _digest_of_images(self.root, self.images, self.i_shard, self.n_shards)
        return {self.what: digest or ABSENT}

    def are_those_of(self, shard: Path) -> bool:
        """Was a shard recorded from images of this content, whatever their dates?"""
        # Imported here: most runs never ask, and torch takes seconds to load.
        from vitproto.activations.shards import read_image_digests

        found = _stats_of_images(self.root, self.images, self.i_shard, self.n_shards)
        recorded = read_image_digests(shard)
        if found is None or recorded is None or len(recorded) != len(found):
            return False
        if None in found.values():
            return False
        with progress_bar(len(found), "images compared") as progress:
            for path, digest in zip(found, recorded, strict=True):
                if sha256_of(self.root / path) != digest:
                    return False
                progress.update()
        return True


@cache
def _digest_of_images(
    root: Path, images: Path, i_shard: int, n_shards: int
) -> str | None:
    found = _stats_of_images(root, images, i_shard, n_shards)
    return None if found is None else image_sum(map(_of_image, found.items()))


def _stats_of_images(
    root: Path, images: Path, i_shard: int, n_shards: int
) -> dict[str, Stat | None] | None:
    if not root.is_dir() or not any(root.iterdir()) or not images.is_file():
        return None
    paths = _listed_paths(images)
    if len(paths) < n_shards:
        return None
    found = {}
    for i in shard_range(len(paths), i_shard, n_shards):
        folder, _, name = paths[i].rpartition("/")
        found[paths[i]] = _list(os.path.join(root, folder)).files.get(name)
    return found


def _of_image(image: tuple[str, Stat | None]) -> bytes:
    path, stat = image
    text = f"{path}\0{stat.size}\0{stat.mtime_ns}" if stat else f"{path}\0{GONE}"
    return hashlib.sha256(text.encode()).digest()


@cache
def _listed_paths(images: Path) -> Sequence[str]:
    """The column `path` of a list of images."""
    with images.open(encoding="utf-8", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


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
    for looked in (_listed_paths, _list, _digest_of_images):
        looked.cache_clear()
