"""Write HDF5 files that appear complete or not at all, and read them without harm.

Damage is noticed: HDF5 1.10 has checksums on all its metadata, and we add one of each
dataset, in its attribute `checksum`. Strings are stored with a fixed length, because
those of variable length lie in a heap without checksums: a single flipped bit in it
makes HDF5 read wrong strings, or search for ever.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vitproto.core.checksums import checksum
from vitproto.core.files import whole_file
from vitproto.core.unreadable import DamagedError, UnreadableError, unreadable

_LIBVER = ("v110", "v110")

CHECKSUM = "checksum"
"""The attribute of each dataset with the checksum of its values."""

# What HDF5 and h5py raise depends on which part of a file is damaged. ValueError covers
# texts that are not UTF-8.
_DAMAGES = (OSError, KeyError, RuntimeError, TypeError, AttributeError, ValueError)


@contextmanager
def whole_hdf5(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file, see `whole_file`."""
    with whole_file(path) as partial, open_new(partial) as file:
        yield file


@contextmanager
def open_new(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file in the format of all our files.

    Attributes are written by `write_attributes`, strings by `write_strings`. Datasets
    get their checksums when the block ends, unless they already have one.
    """
    file = h5py.File(path, "w", libver=_LIBVER, locking=False)
    try:
        yield file
        file.visititems(_add_checksum)
        file.flush()
    except OSError:
        _discard(file)
        raise
    finally:
        file.close()


def write_attributes(node: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
    """Write attributes of a file, group or dataset: numbers, strings, or lists."""
    for name, value in attributes.items():
        texts = [value] if isinstance(value, str) else value
        if np.size(texts) > 0 and isinstance(np.ravel(texts)[0], str):
            encoded, dtype = _encode(texts)
            value = encoded[0] if isinstance(value, str) else encoded
            node.attrs.create(name, value, dtype=dtype)
        else:
            node.attrs[name] = value


def write_strings(group: h5py.Group, name: str, strings: Sequence[str]) -> None:
    """Write a dataset of strings."""
    encoded, dtype = _encode(strings)
    group.create_dataset(name, data=encoded, dtype=dtype)


class Hdf5Reader:
    """An open HDF5 file; made by `open_hdf5`.

    Whatever cannot be read ends in a ValueError that names the file.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, file: h5py.File, what: str, remedy: str):
        self.path = path
        self._file, self._what, self._remedy = file, what, remedy

    def attributes(self, of: str = "/") -> dict[str, Any]:
        """Read the attributes of the file, of a group or of a dataset."""
        with self.naming_damage():
            return {
                name: _decode(value)
                for name, value in self._file[of].attrs.items()
                if name != CHECKSUM
            }

    def names(self, group: str = "/") -> list[str]:
        """List what a group holds."""
        with self.naming_damage():
            return list(self._file[group])

    def strings(self, name: str) -> list[str]:
        """Read a dataset of strings."""
        values = self.values(name)
        with self.naming_damage():
            return [value.decode() for value in values.tolist()]

    def values(self, name: str) -> np.ndarray:
        """Read a dataset, and compare it with its checksum."""
        with self.naming_damage():
            dataset = self._file[name]
            values = dataset[()]
            if checksum(values) != dataset.attrs[CHECKSUM].decode():
                raise ValueError(f"the values of {name} do not match their checksum")
        return values

    def damaged(self, why: str | Exception) -> UnreadableError:
        """The error to raise where the contents cannot be right."""
        text = f"{self.path} is damaged or {self._what} ({why}): {self._remedy}"
        if isinstance(why, str):
            return DamagedError(text)
        return unreadable(self.path, why, text)

    def dataset(self, name: str) -> h5py.Dataset:
        """A dataset, to read parts of it: these are not compared with a checksum."""
        with self.naming_damage():
            dataset = self._file[name]
            if not isinstance(dataset, h5py.Dataset):
                raise TypeError(f"{name} is no dataset")
        return dataset

    @contextmanager
    def naming_damage(self) -> Iterator[None]:
        """Whatever reading raises in the block is damage of the file."""
        try:
            yield
        except UnreadableError:
            raise
        except _DAMAGES as error:
            raise self.damaged(error) from error


@contextmanager
def open_hdf5(path: Path, what: str, remedy: str) -> Iterator[Hdf5Reader]:
    """Open an HDF5 file to read.

    Args:
        path: the file.
        what: what it is if it is not damaged, such as "not a file of scores".
        remedy: what to do about it, such as "delete it and score the images again".

    Raises:
        ValueError: the file is missing, damaged or no HDF5 file.
    """
    try:
        # HDF5's locks fail on many network file systems, and we need none.
        file = h5py.File(path, "r", locking=False)
    except _DAMAGES as error:
        text = f"{path} is damaged or {what} ({error}): {remedy}"
        raise unreadable(path, error, text) from error
    with file:
        yield Hdf5Reader(path, file, what, remedy)


def _encode(strings: Sequence[str]) -> tuple[np.ndarray, np.dtype]:
    encoded = [string.encode() for string in strings]
    n_bytes = max([1, *map(len, encoded)])
    dtype = h5py.string_dtype("utf-8", n_bytes)
    return np.array(encoded, dtype), dtype


def _decode(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        return [text.decode() for text in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value


def _add_checksum(_: str, node: h5py.HLObject) -> None:
    if isinstance(node, h5py.Dataset) and CHECKSUM not in node.attrs:
        write_attributes(node, {CHECKSUM: checksum(node)})


def _discard(file: h5py.File) -> None:
    """Close a file that cannot be written, for instance because the disk is full.

    HDF5 still writes what is left when it closes a file. Where it cannot, it ends the
    process with SIGSEGV, and the reason is never seen. So it writes to nowhere.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, file.id.get_vfd_handle())
    os.close(nowhere)
    with contextlib.suppress(OSError, RuntimeError):
        file.close()
