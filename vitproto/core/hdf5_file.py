"""Write HDF5 files that appear complete or not at all."""

import contextlib
import os
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


@contextmanager
def open_new(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file in the format of all our files."""
    file = h5py.File(path, "w", libver=_LIBVER, locking=False)
    try:
        yield file
        file.flush()
    except OSError:
        _discard(file)
        raise
    finally:
        file.close()


def _discard(file: h5py.File) -> None:
    """Close a file that cannot be written, for instance because the disk is full.

    HDF5 still writes what is left when it closes a file. Where it cannot, it ends the
    process with SIGSEGV, and the reason is never seen. So it writes to memory.
    """
    if hasattr(os, "memfd_create"):
        os.dup2(os.memfd_create("discarded"), file.id.get_vfd_handle())
    with contextlib.suppress(OSError, RuntimeError):
        file.close()
