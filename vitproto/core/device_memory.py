"""The line of a job's log that says how much memory of a GPU it took."""

import re

_LINE = "peak memory on the GPU: {:,} bytes"
_FOUND = re.compile(r"peak memory on the GPU: ([\d,]+) bytes")


def to_line(n_bytes: int) -> str:
    """What a log says."""
    return _LINE.format(n_bytes)


def from_log(text: str) -> int | None:
    """What a log said, in bytes; None if it speaks of no GPU."""
    found = _FOUND.findall(text)
    return int(found[-1].replace(",", "")) if found else None
