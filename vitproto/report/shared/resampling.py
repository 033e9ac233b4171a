"""Bootstrap resamples and their intervals, the same in all tables.

Axes: R resamples, N units to draw from.
"""

import numpy as np
from jaxtyping import Float, Int

N_RESAMPLES = 2000
LEVEL = 95
"""Confidence level of intervals, in percent."""
SEED = 0
DECIMALS = 3
"""Decimals of an mAP in sentences. An interval that begins with 0.000 does not exclude
0."""


def draw_resamples(n: int, rng: np.random.Generator) -> Int[np.ndarray, "r n"]:
    """Draw n - 1 of n units with replacement: how often each resample takes each."""
    return rng.multinomial(max(n - 1, 1), np.full(n, 1 / n), size=N_RESAMPLES)


def find_interval(value_R: Float[np.ndarray, " r"], n: int) -> tuple[float, float]:
    """The percentiles that enclose `LEVEL` percent of the resamples of n units.

    A single unit cannot be resampled: its interval is unknown, from −∞ to ∞.
    """
    if n == 1:
        return -np.inf, np.inf
    beyond = (100 - LEVEL) / 2
    low, high = np.percentile(value_R, [beyond, 100 - beyond])
    return float(low), float(high)
