"""Logarithmic axes whose ticks are labelled without exponents."""

from matplotlib.axis import Axis
from matplotlib.ticker import (
    Locator,
    LogLocator,
    NullFormatter,
    StrMethodFormatter,
    SymmetricalLogLocator,
)

SUBS = (1, 2, 5)


def write_plainly(axis: Axis) -> None:
    """Label the ticks of a log or symlog axis 1, 2, 5, 10, 20, …"""
    locator: Locator = LogLocator(subs=SUBS)
    if axis.get_scale() == "symlog":
        locator = SymmetricalLogLocator(base=10, linthresh=1, subs=SUBS)
    axis.set_major_locator(locator)
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
