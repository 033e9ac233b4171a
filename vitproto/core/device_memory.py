"""Write and read the line of a job's log with its peak GPU memory."""

import re

_LINE = "peak memory on the GPU: {:,} bytes"
_FOUND = re.compile(r"peak memory on the GPU: ([\d,]+) bytes")


def to_line(n_bytes: int) -> str:
    """The line for a log."""
    return _LINE.format(n_bytes)


def from_log(text: str) -> int | None:
    """The number of bytes in a log; None if it has no such line."""
    numbers = _FOUND.findall(text)
    return int(numbers[-1].replace(",", "")) if numbers else None
