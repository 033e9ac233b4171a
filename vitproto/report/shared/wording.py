"""Numbers as readers see them: a true minus, no minus zero, words for what is missing.

Also intervals, whose wording is the same in all tables.
"""

import math
from collections.abc import Sequence

NOTHING = "–"
"""What stands in a cell for which there is no number."""


def write_number(value: float, n_decimals: int = 3) -> str:
    """`0.125`, `−0.125`, never `−0.000`; a dash where there is none."""
    if math.isnan(value):
        return NOTHING
    return f"{round(value, n_decimals) + 0.0:.{n_decimals}f}".replace("-", "−")


def write_share(share: float) -> str:
    """In percent: `12.5`."""
    return write_number(100 * share, 1)


def write_plain(value: float) -> str:
    """As short as it was written in the config: `0.001`, `1e-05`, `−2`."""
    return NOTHING if math.isnan(value) else f"{value:.12g}".replace("-", "−")


def write_interval(low: float, high: float) -> str:
    """`0.100 to 0.200`, or `unknown` where there was nothing to resample."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "unknown"
    return f"{write_number(low)} to {write_number(high)}"


def write_with_interval(value: float, low: float, high: float) -> str:
    """`0.150 (0.100 to 0.200)`; the value alone where the interval is not known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return write_number(value)
    return f"{write_number(value)} ({write_interval(low, high)})"


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
