"""The SHA-256 of each image file that a shard was recorded from.

They can be read without torch and without the rest of the shard.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from vitproto.core.unreadable import refuse_to_guess

_NAME = "image_sha256"


def write_image_digests(file: h5py.File, sha256_N: Sequence[bytes]) -> None:
    """Write the digests of image files into a shard, 32 bytes each."""
    digests_N32 = np.frombuffer(b"".join(sha256_N), np.uint8).reshape(-1, 32)
    file.create_dataset(_NAME, data=digests_N32)


def image_digests_in(file: h5py.File) -> list[bytes] | None:
    """The digests in an open shard; None if it has none."""
    if _NAME not in file:
        return None
    return [digest.tobytes() for digest in file[_NAME][:]]


def read_image_digests(path: Path) -> list[bytes] | None:
    """Read the digests of a shard; None if it has none or cannot be read."""
    try:
        with h5py.File(path, locking=False) as file:
            return image_digests_in(file)
    except (OSError, RuntimeError) as error:
        refuse_to_guess(path, error)
        return None


def read_image_ids(path: Path) -> list[str]:
    """Read the image ids of a shard, in order; empty if it cannot be read."""
    try:
        with h5py.File(path, locking=False) as file:
            return file["image_ids"].asstr()[:].tolist()
    except (OSError, RuntimeError, KeyError) as error:
        refuse_to_guess(path, error)
        return []
