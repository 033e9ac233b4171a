"""Durations and sizes in words."""

from vitproto.planning.costs.job import Number


def duration(seconds: Number) -> str:
    """Seconds in a unit that fits: `2.4 s`, `12 min`, `3.2 h`, `1,234 h`."""
    for unit, n_seconds in (("s", 1), ("min", 60)):
        if seconds < 59.5 * n_seconds:
            return f"{_two_digits(seconds / n_seconds)} {unit}"
    return f"{_two_digits(seconds / 3600)} h"


def _two_digits(amount: Number) -> str:
    return f"{amount:.1f}" if amount < 9.95 else f"{amount:,.0f}"


def size(n_bytes: Number) -> str:
    """Bytes in a unit that fits: `25 MB`, `1.4 TB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"
