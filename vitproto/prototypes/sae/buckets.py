"""The n-th largest of many values, from histograms of the halves of their bits."""

import numpy as np
from jaxtyping import Int64


def find_bucket(
    counts: Int64[np.ndarray, " n"], n_wanted: int
) -> tuple[int, int] | None:
    """The bucket with the n-th largest value, and the value's rank in it, from 1.

    None if there are fewer values.
    """
    from_top = np.cumsum(counts[::-1])
    i = int(np.searchsorted(from_top, n_wanted))
    if i == len(counts):
        return None
    n_above = int(from_top[i - 1]) if i else 0
    return len(counts) - 1 - i, n_wanted - n_above
