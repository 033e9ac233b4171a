"""Numbers, intervals and lists of names as readers see them, the same in all tables.

Numbers have a true minus, and none is minus zero.
"""

import math
from collections.abc import Sequence

NOTHING = "–"
"""The text of a cell without a number."""


def write_number(value: float, n_decimals: int = 3) -> str:
    """`0.125`, `−0.125`, never `−0.000`; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{round(value, n_decimals) + 0.0:.{n_decimals}f}".replace("-", "−")


def write_share(share: float) -> str:
    """A share in percent: `12.5`."""
    return write_number(100 * share, 1)


def write_plain(value: float) -> str:
    """A number as short as in the config: `0.001`, `1e-05`, `−2`; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.12g}".replace("-", "−")


def write_interval(low: float, high: float, unit: str) -> str:
    """`0.100 to 0.200`, or `unknown, for there is only one trait`.

    Args:
        low, high: the ends; infinite or NaN if there was nothing to resample.
        unit: what was resampled, in the singular, such as `trait`.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"unknown, for there is only one {unit}"
    return f"{write_number(low)} to {write_number(high)}"


def write_with_interval(value: float, low: float, high: float) -> str:
    """`0.150 (0.100 to 0.200)`; the value alone if the interval is unknown."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return write_number(value)
    return f"{write_number(value)} ({write_number(low)} to {write_number(high)})"


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
