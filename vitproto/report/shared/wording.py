"""Numbers, intervals and lists of names as readers see them, the same in all reports.

Numbers have a true minus, and none is minus zero.
"""

import math
from collections.abc import Sequence

import numpy as np

DECIMALS = 3
"""Decimals of measures in sentences. An interval that begins with 0.000 does not
exclude 0."""

CONTROL_BADGE = "[control]"
"""Stands behind the name of each autoencoder that nothing trained."""

NOTHING = "–"
"""The text of a cell without a number."""


def write_all(n: int) -> str:
    """`both` of 2, or `all 3`."""
    return "both" if n == 2 else f"all {n}"


def write_number(value: float, n_decimals: int = DECIMALS) -> str:
    """`0.125`, `−0.125`, never `−0.000`; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{round(value, n_decimals) + 0.0:.{n_decimals}f}".replace("-", "−")


def count_decimals(value: float) -> int:
    """Count the decimals that show three significant digits; 0 for large numbers."""
    return 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))


def write_significant(value: float) -> str:
    """A positive number with three significant digits: `0.0123`, `1235`."""
    return f"{value:.{count_decimals(value)}f}"


def write_measure(value: float) -> str:
    """As `write_number`, but never `0.000` for a number that is not 0: `0.0004`."""
    shown = write_number(value)
    if value == 0 or float(shown.replace("−", "-").replace(NOTHING, "1")) != 0:
        return shown
    return f"{value:.1g}".replace("-", "−")


def write_share(share: float) -> str:
    """A share in percent: `12.5`."""
    return write_number(100 * share, 1)


def write_plain(value: float) -> str:
    """A number as short as in the config: `0.001`, `1e-05`, `−2`; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.12g}".replace("-", "−")


def write_with_interval(value: float, low: float, high: float) -> str:
    """`0.150 (0.100 to 0.200)`; the value alone if the interval is unknown."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return write_number(value)
    return f"{write_number(value)} ({write_number(low)} to {write_number(high)})"


def write_bracketed(value: float, low: float, high: float) -> str:
    """`0.150 [0.100, 0.200]`, for cells; the value alone if there is no interval."""
    if math.isnan(low):
        return write_number(value)
    return f"{write_number(value)} [{write_number(low)}, {write_number(high)}]"


def write_count(n: int | np.integer, noun: str) -> str:
    """`1 prototype`, `2,048 prototypes`; nouns whose plural only adds an s."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def write_p(p: float) -> str:
    """A p-value in a sentence: `p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {write_number(p)}"


def write_p_cell(p: float) -> str:
    """A p-value in a cell: `0.012`, `< 0.001`; a dash for NaN."""
    return "< 0.001" if p < 0.001 else write_number(p)


def join_names(names: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def with_capital(text: str) -> str:
    """Begin a sentence; unlike `capitalize`, keep all other letters."""
    return text[0].upper() + text[1:]
