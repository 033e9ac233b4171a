"""The SHA-256 of each image file that a shard was recorded from.

They can be read without torch and without the rest of the shard.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np

from vitproto.core.hdf5_file import Hdf5Reader, open_hdf5
from vitproto.core.unreadable import DamagedError

_NAME = "image_sha256"
_WHAT = "not a shard of activations"
_REMEDY = "delete it and run record_activations again"


def write_image_digests(file: h5py.File, sha256_N: Sequence[bytes]) -> None:
    """Write the digests of image files into a shard, 32 bytes each."""
    digests_N32 = np.frombuffer(b"".join(sha256_N), np.uint8).reshape(-1, 32)
    file.create_dataset(_NAME, data=digests_N32)


def open_shard(path: Path) -> AbstractContextManager[Hdf5Reader]:
    """Open a shard of activations to read."""
    return open_hdf5(path, _WHAT, _REMEDY)


def image_digests_in(shard: Hdf5Reader) -> list[bytes] | None:
    """The digests in an open shard; None if it has none."""
    if _NAME not in shard.names():
        return None
    return [digest.tobytes() for digest in shard.values(_NAME)]


def read_image_digests(path: Path) -> list[bytes] | None:
    """Read the digests of a shard; None if it has none, is missing or damaged."""
    try:
        with open_shard(path) as shard:
            return image_digests_in(shard)
    except DamagedError:
        return None


def read_image_ids(path: Path) -> list[str]:
    """Read the image ids of a shard, in order; empty if it is missing or damaged."""
    try:
        with open_shard(path) as shard:
            return shard.strings("image_ids")
    except DamagedError:
        return []
