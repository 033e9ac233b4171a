"""How long jobs show that they move."""

import sys

from tqdm import tqdm


def progress_bar(n: int, unit: str) -> tqdm:
    """Progress and throughput, in units, on standard error.

    A bar in a terminal; in a log, a line every ten seconds.
    """
    return tqdm(
        total=n,
        unit=f" {unit}",
        unit_scale=n > 1e6,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    )
