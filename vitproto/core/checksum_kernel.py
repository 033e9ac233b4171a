"""The loop of the checksums of rows."""

import typing

import numba
import numpy as np


@typing.no_type_check
@numba.njit(cache=True, nogil=True)
def hash_rows(words_RW, coefficient_W1, checksum_R):
    """Write the multilinear hash of each row to `checksum_R`."""
    for r in range(words_RW.shape[0]):
        total = coefficient_W1[0]
        for w in range(words_RW.shape[1]):
            total += coefficient_W1[w + 1] * np.uint64(words_RW[r, w])
        checksum_R[r] = np.uint32(total >> np.uint64(32))
