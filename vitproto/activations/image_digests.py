"""Which image files a shard was recorded from: the SHA-256 of each.

Whoever only asks for these needs neither torch nor the rest of a shard.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

_NAME = "image_sha256"


def write_image_digests(file: h5py.File, sha256_N: Sequence[bytes]) -> None:
    """Say in a shard which files its images were read from: 32 bytes for each."""
    digests_N32 = np.frombuffer(b"".join(sha256_N), np.uint8).reshape(-1, 32)
    file.create_dataset(_NAME, data=digests_N32)


def image_digests_in(file: h5py.File) -> list[bytes] | None:
    """What a shard says of its images; None if nothing."""
    if _NAME not in file:
        return None
    return [digest.tobytes() for digest in file[_NAME][:]]


def read_image_digests(path: Path) -> list[bytes] | None:
    """The same from a closed shard; None where it cannot be read either."""
    try:
        with h5py.File(path, locking=False) as file:
            return image_digests_in(file)
    except (OSError, RuntimeError):
        return None


def read_image_ids(path: Path) -> list[str]:
    """The images of a shard, in its order; none where it cannot be read."""
    try:
        with h5py.File(path, locking=False) as file:
            return file["image_ids"].asstr()[:].tolist()
    except (OSError, RuntimeError, KeyError):
        return []
