"""The reconstruction error of kinds of autoencoders at equal L0.

An autoencoder with more active latents reconstructs better, so errors are comparable
only at an equal number of them.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from vitproto.report.saes.front import on_front
from vitproto.report.saes.metrics import name_kind
from vitproto.report.shared.markdown import TextTable
from vitproto.report.shared.wording import NOTHING, write_significant

PLACE = ["encoder", "layer", "n_prototypes"]
"""Columns that are the same for all kinds that are compared."""

APART = 4.0
"""Between two settings whose L0s differ by more than this factor, nothing is read."""

ROUNDING = 1e-9
"""Logarithms that differ by less are equal."""

NEAR = 1.1
"""A kind counts as having reached an L0 if one of its settings is within this factor of
it."""


class AtL0(NamedTuple):
    """The error of a kind at some L0."""

    nmse: float
    """NaN if no setting of the kind comes near it."""
    l0: float
    """That of the setting whose error it is; NaN if it lies between two settings."""


def list_targets(place: pd.DataFrame) -> list[float]:
    """The L0s at which at least two kinds can be compared, rising.

    Args:
        place: the rows of `tabulate_settings` for one encoder, layer and number of
            latents.

    Returns:
        The medians of groups of settings whose L0s lie within `NEAR` of the lowest.
    """
    values = sorted(value for value in place["l0"] if value > 0)
    targets = []
    while values:
        n_near = sum(value <= NEAR * values[0] for value in values)
        targets.append(float(np.median(values[:n_near])))
        values = values[n_near:]
    kinds = [kind for _, kind in place.groupby("method")]
    return [
        target
        for target in targets
        if sum(not math.isnan(read_off(kind, target).nmse) for kind in kinds) >= 2
    ]


def read_off(kind: pd.DataFrame, l0: float) -> AtL0:
    """The error of a kind at an L0.

    It is read off the front of the kind's settings, on a line between two of them with
    both axes logarithmic, if their L0s are within a factor of `APART`. Elsewhere
    nothing is assumed: a setting counts only if its L0 is within `NEAR` of the wanted
    one.

    Args:
        kind: the rows of `tabulate_settings` for one kind in one place.
        l0: the wanted one, positive.
    """
    kind = kind[(kind["l0"] > 0) & (kind["nmse"] > 0)]
    front = kind[on_front(kind["l0"].to_numpy(), kind["nmse"].to_numpy())]
    front = front.sort_values("l0")
    x, y = np.log(front["l0"].to_numpy()), np.log(front["nmse"].to_numpy())
    at = math.log(l0)
    between = np.searchsorted(x, at)
    gap = x[between] - x[between - 1] if 0 < between < len(x) else math.inf
    if at in x or gap <= math.log(APART) + ROUNDING:
        nmse = float(np.exp(np.interp(at, x, y)))
        return AtL0(nmse, l0 if at in x else math.nan)
    # Off the front too: the error of an untrained autoencoder may grow with L0.
    for settings in (front, kind):
        apart = np.abs(np.log(settings["l0"].to_numpy()) - at)
        near = settings[apart <= math.log(NEAR)]
        if len(near):
            nearest = near.iloc[int(apart[apart <= math.log(NEAR)].argmin())]
            return AtL0(float(nearest["nmse"]), float(nearest["l0"]))
    return AtL0(math.nan, math.nan)


def show_matched(table: pd.DataFrame) -> TextTable:
    """Format the errors at equal L0: a row for each place and L0, a column per kind.

    Args:
        table: the rows of `tabulate_settings`.
    """
    kinds = {row["method"]: name_kind(row) for _, row in table.iterrows()}
    columns = {"Encoder": "<", "Layer": ">", "Latents": ">", "L0": ">"}
    rows = []
    for (encoder, layer, n_latents), place in table.groupby(PLACE):
        for target in list_targets(place):
            cells = [
                _write(read_off(place[place["method"] == kind], target), target)
                for kind in sorted(kinds)
            ]
            rows.append([encoder, str(layer), str(n_latents), f"{target:.1f}", *cells])
    names = [kinds[kind] for kind in sorted(kinds)]
    return TextTable(columns | dict.fromkeys(names, "<"), rows)


MEANING = (
    "NMSE on held-out patches at equal L0. A kind that no setting brings within "
    f"{NEAR - 1:.0%} of an L0 has no number there. One whose L0 differs says so. ≈ is "
    "on the line between two settings of the kind, with both axes logarithmic, if "
    f"their L0s are within a factor of {APART:g}. Where a kind was trained with "
    "several learning rates, the best one counts. Seeds are averaged; differences are "
    "not tested."
)
"""What the table shows."""


def _write(at: AtL0, target: float) -> str:
    if math.isnan(at.nmse):
        return NOTHING
    nmse = write_significant(at.nmse)
    if math.isnan(at.l0):
        return f"≈ {nmse}"
    return nmse if f"{at.l0:.1f}" == f"{target:.1f}" else f"{nmse} (L0 {at.l0:.1f})"
