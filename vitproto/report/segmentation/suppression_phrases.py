"""How sentences on suppression put classes, edit lengths, intervals and verdicts."""

import math

import numpy as np
import pandas as pd

from vitproto.core.confidence import LEVEL, SIGNIFICANT
from vitproto.report.shared.wording import write_measure, write_plain
from vitproto.segmentation.suppression.terms import GONE

NEARLY_ALL = f"{100 * GONE:g} %"
"""The share of its IoU that a class has lost if it is gone."""


def count_classes(n: int | np.integer) -> str:
    """`1 class`, `2 classes`."""
    return "1 class" if n == 1 else f"{n} classes"


def is_or_are(n: int | np.integer) -> str:
    """The verb behind a number of classes."""
    return "is" if n == 1 else "are"


def write_length(length: float) -> str:
    """`0.25 times as long as the activations`."""
    return f"{write_plain(length)} times as long as the activations"


def write_with_level(row: pd.Series, name: str) -> str:
    """`0.465, 95 % interval 0.310 to 0.621`."""
    low, high = (write_measure(row[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{write_measure(row[name])}, {LEVEL} % interval {low} to {high}"


def find_verdict(value: float, p: float) -> int:
    """1 for a number above 0, -1 for one below, 0 if neither is shown."""
    if math.isnan(p) or p >= SIGNIFICANT:
        return 0
    return 1 if value > 0 else -1
