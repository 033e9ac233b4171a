"""Level of intervals, and correction of p-values for the number of comparisons."""

import numpy as np
from jaxtyping import Float

LEVEL = 95
"""Confidence level of intervals, in percent."""

MIN_GROUPS = 10
"""Fewer groups of test images give no interval: it would be too narrow."""

MIN_SHOWN_GROUPS = 5
"""A trait that fewer groups of test images show has no interval of its own."""

SIGNIFICANT = 0.05
"""Corrected p-values below this tell two methods apart."""

EQUAL = 1e-9
"""Measures that differ by less are equal: sums are rounded."""


def holm(p_N: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Holm's step-down correction (1979): the chance of any false rejection stays.

    The p-values may depend on each other in any way. NaN, a comparison without a
    test, stays NaN and does not count.

    Returns:
        The corrected p-values: compare each with the level of the whole family.
    """
    adjusted_N = np.full(len(p_N), np.nan)
    order = np.argsort(p_N)
    order = order[: np.count_nonzero(~np.isnan(p_N))]
    n_left = np.arange(len(order), 0, -1)
    adjusted_N[order] = np.maximum.accumulate(p_N[order] * n_left).clip(max=1.0)
    return adjusted_N
