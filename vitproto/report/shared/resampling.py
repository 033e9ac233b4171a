"""Bootstrap resamples and their intervals, the same in all tables.

The letters of arrays here: R resamples, N things that are drawn.
"""

import numpy as np
from jaxtyping import Float, Int

N_RESAMPLES = 2000
LEVEL = 95
"""Percent of the resamples that an interval holds."""
SEED = 0
DECIMALS = 3
"""Of an mAP in words. An interval that begins with 0.000 does not exclude 0."""


def draw_resamples(n: int, rng: np.random.Generator) -> Int[np.ndarray, "r n"]:
    """How often is each of n things drawn, in n - 1 draws? A row per resample."""
    return rng.multinomial(max(n - 1, 1), np.full(n, 1 / n), size=N_RESAMPLES)


def find_interval(value_R: Float[np.ndarray, " r"], n: int) -> tuple[float, float]:
    """Between which values do `LEVEL` percent of the resamples of n things lie?"""
    if n == 1:  # nothing to resample
        return -np.inf, np.inf
    beyond = (100 - LEVEL) / 2
    low, high = np.percentile(value_R, [beyond, 100 - beyond])
    return float(low), float(high)
