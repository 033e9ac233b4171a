"""Write HDF5 files that appear complete or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from vitproto.core.files import whole_file

_LIBVER = ("v110", "v110")
"""HDF5 1.10 has checksums on all metadata, so damaged chunk tables are noticed."""


@contextmanager
def whole_hdf5(path: Path, *, shared: bool = False) -> Iterator[h5py.File]:
    """Create an HDF5 file, see `whole_file`."""
    with whole_file(path, shared=shared) as partial, open_new(partial) as file:
        yield file


def open_new(path: Path) -> h5py.File:
    """Create an HDF5 file in the format of all our files."""
    return h5py.File(path, "w", libver=_LIBVER, locking=False)
