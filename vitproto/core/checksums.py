"""Checksums that notice damage: bits that flipped, blocks that were zeroed or lost.

A row's checksum is a multilinear hash (Lemire and Kaser, Comput. J. 57, 2014): the sum
of its words, each times a fixed random number of 64 bits, of which the upper half is
kept. A change goes unnoticed once in 2^32 times, whatever it is.
"""

import hashlib
from collections.abc import Callable
from functools import cache

import h5py
import numpy as np
from jaxtyping import UInt32, UInt64

SMALL = 2**20
"""Bytes up to which an array is hashed without the kernel: loading it takes longer."""
PIECE = 2**26
"""Bytes of a dataset that are in memory at a time."""


def row_checksums(rows_RV: np.ndarray) -> UInt32[np.ndarray, " r"]:
    """The checksum of the bytes of each row.

    Args:
        rows_RV: R rows of V values of any type, contiguous.
    """
    n_rows = len(rows_RV)
    bytes_RB = rows_RV.reshape(n_rows, -1).view(np.uint8)
    n_bytes = bytes_RB.shape[1]
    word = next(size for size in (4, 2, 1) if n_bytes % size == 0)
    words_RW = bytes_RB.view(f"u{word}")
    coefficient_W1 = _coefficients(words_RW.shape[1])
    if words_RW.nbytes <= SMALL:
        # Converts piece by piece, not all words at once.
        total_R = np.einsum("rw,w->r", words_RW, coefficient_W1[1:], dtype=np.uint64)
        return ((total_R + coefficient_W1[0]) >> np.uint64(32)).astype(np.uint32)
    checksum_R = np.empty(n_rows, np.uint32)
    _kernel()(words_RW, coefficient_W1, checksum_R)
    return checksum_R


def checksum(values: np.ndarray | h5py.Dataset) -> str:
    """A checksum of the bytes of an array or a dataset: 32 hexadecimal digits.

    It is the SHA-256 of them, or of the checksums of all rows if there are many.
    """
    digest = hashlib.sha256()
    if values.nbytes <= SMALL:
        digest.update(np.ascontiguousarray(values[()]))
    else:
        n_rows = max(1, PIECE * len(values) // values.nbytes)
        for i in range(0, len(values), n_rows):
            rows = np.ascontiguousarray(values[i : i + n_rows])
            digest.update(row_checksums(rows))
    return digest.hexdigest()[:32]


@cache
def _coefficients(n_words: int) -> UInt64[np.ndarray, " w1"]:
    """One per word, and a constant. NumPy promises these numbers for all versions."""
    coefficient_W1 = np.random.PCG64(0).random_raw(n_words + 1)
    coefficient_W1.flags.writeable = False
    return coefficient_W1


@cache
def _kernel() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """The loop, loaded where it is first needed: most tables are small."""
    from vitproto.core.checksum_kernel import hash_rows

    return hash_rows
