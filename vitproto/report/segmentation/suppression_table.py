"""Means over classes of what edits do, at equal edit length and at equal loss.

SAEs differ in how long an edit a dose makes, so they are never compared at equal dose.
Within an SAE all edits for a class have the same length on each patch. Everything is
read off the curves of the classes (`curves.py`), at one length for all SAEs of a layer,
and where each class has lost half of its IoU.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from vitproto.core.confidence import holm
from vitproto.report.segmentation.suppression_measures import (
    MeasuredSae,
    draws_at_length,
    mean_curve,
    with_ends,
)
from vitproto.report.segmentation.suppression_rows import (
    AT_HALF,
    AT_LENGTH,
    BLIND,
    CONTROLS,
    EDITS,
    OWN,
)
from vitproto.report.shared.wording import DECIMALS
from vitproto.segmentation.suppression.curves import Reading
from vitproto.segmentation.suppression.effects import ClassEffects
from vitproto.segmentation.suppression.intervals import (
    NOTHING,
    Interval,
    mean_over_classes,
    of_one_class,
)
from vitproto.segmentation.suppression.terms import GONE, HALF, Place
from vitproto.study.run import Run

TIE_DECIMALS = 9
"""Two specificities that agree to these decimals are tied."""
STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Where curves are read, in multiples of the length at which SAEs are compared."""

Readings = dict[int, Reading]
"""By label."""


class Layer(NamedTuple):
    """Activations whose edits have comparable lengths."""

    encoder: str
    probe_layer: int
    layer: int

    @classmethod
    def of(cls, place: Place) -> "Layer":
        """The layer that an SAE reads."""
        return cls(place.encoder, place.probe_layer, place.layer)


def find_lengths(saes: Sequence[MeasuredSae]) -> dict[Layer, float]:
    """Find the edit length at which the SAEs of each layer are compared.

    It is the shortest length by which half of the classes have lost half of their IoU
    with half of the SAEs, rounded up to two digits. Classes that never lose half count
    as not having lost it. Where there is no such length, it is the longest that all
    classes reach. It is the same for all SAEs and edits. Intervals take it as given,
    though it is found on the same images, so leads are computed at other lengths too.
    """
    lengths = {}
    for layer in dict.fromkeys(Layer.of(sae.place) for sae in saes):
        of_layer = [sae for sae in saes if Layer.of(sae.place) == layer and sae.judged]
        if not of_layer:
            lengths[layer] = 1.0
            continue
        length = _half_of(
            _half_of(_half_length(effects) for effects in sae.judged.values())
            for sae in of_layer
        )
        if math.isfinite(length):
            lengths[layer] = _two_digits(length, math.ceil)
        else:
            lengths[layer] = _reach(
                effects for sae in of_layer for effects in sae.judged.values()
            )
    return lengths


def _half_length(effects: ClassEffects) -> float:
    """The length by which a class has lost half; infinite if it never does."""
    at = _read(effects, OWN, None)
    return math.inf if at is None else at.length


def _half_of(lengths: Iterable[float]) -> float:
    """The shortest length that is no shorter than half of the lengths."""
    ordered = sorted(lengths)
    return ordered[(len(ordered) - 1) // 2]


def _reach(classes: Iterable[ClassEffects], least: float = 0.0) -> float:
    """The longest length that classes reach, to two digits.

    Args:
        classes: the effects of edits for each.
        least: classes whose longest edit is shorter are passed over.
    """
    longest = [float(effects.length_O.max()) for effects in classes]
    reached = [length for length in longest if length >= least]
    return _two_digits(min(reached), math.floor) if reached else least


def _two_digits(length: float, to_integer: Callable[[float], int]) -> float:
    """Round a length above 0 to two digits, up with `ceil`, down with `floor`."""
    unit = 10.0 ** (math.floor(math.log10(length)) - 1)
    # To nine digits first: 0.25 / 0.01 is not 25.
    return float(f"{to_integer(round(length / unit, TIE_DECIMALS)) * unit:.2g}")


def summarise(
    saes: Sequence[MeasuredSae], lengths: Mapping[Layer, float]
) -> pd.DataFrame:
    """Average the effects of each edit over classes.

    Returns:
        A row for each SAE, edit and point, with the columns of `Place` and

        - `at`: `length` or `half`; `length`: the length that is read at, or the mean
          length at which classes have lost half; `is_main`: whether SAEs are compared
          there;
        - `n_classes`: classes over which means are taken; `n_unjudged`: those that no
          edit can be judged on; `n_unreached`: judged ones whose curve does not reach
          the point; `n_half`, `n_gone`: those that have lost half, or nearly all, of
          their IoU there;
        - `loss`, `collateral`, `specificity`, with the ends of their intervals;
        - for all but the latents: `n_compared`, the classes in which the latents reach
          the point too; `margin`, the mean of the latents' specificity minus that of
          the edit, with its interval; `win_rate`, the share of classes in which the
          latents are more specific (ties count half); at any length `n_above` and
          `n_below`, the classes whose own interval of the margin excludes 0; and for
          controls at the main length `margin_p`, the p-value of no margin, corrected by
          Holm's method over all SAEs and controls.
    """
    rows = []
    for sae in saes:
        main = lengths[Layer.of(sae.place)]
        for at in (*_steps(sae.judged.values(), main), None):
            own = read_classes(sae, OWN, at)
            for edit in EDITS:
                row = _summarise(sae, edit, at, own)
                rows.append(
                    {
                        **sae.place._asdict(),
                        "edit": edit,
                        "at": AT_HALF if at is None else AT_LENGTH,
                        "is_main": at in (main, None),
                        **row,
                    }
                )
    counts = ["n_compared", "n_above", "n_below"]
    table = pd.DataFrame(rows).astype(dict.fromkeys(counts, "Int64"))
    is_family = (
        table["is_main"] & (table["at"] == AT_LENGTH) & table["edit"].isin(CONTROLS)
    )
    table["margin_p"] = _correct(table["margin_p"], is_family)
    return table


def _correct(p: pd.Series, is_family: pd.Series) -> pd.Series:
    """Correct the p-values of a family by Holm's method; the others become NaN."""
    corrected = pd.Series(np.nan, index=p.index)
    corrected[is_family] = holm(p[is_family].to_numpy(np.float64))
    return corrected


def read_classes(sae: MeasuredSae, edit: str, length: float | None) -> Readings:
    """Read the curve of each judged class at a length, or at half loss if None."""
    readings = {
        label: _read(effects, edit, length) for label, effects in sae.judged.items()
    }
    return {
        label: reading for label, reading in readings.items() if reading is not None
    }


def _read(effects: ClassEffects, edit: str, length: float | None) -> Reading | None:
    if edit not in effects.edits:
        return None
    curve = mean_curve(effects, edit)
    return curve.at_loss(HALF) if length is None else curve.at_length(length)


def _steps(classes: Iterable[ClassEffects], main: float) -> list[float]:
    """Lengths to read curves at, up to the longest that these classes reach.

    Classes that do not reach the main length are passed over, so that a curve has the
    same classes from there on. The main length is always there.
    """
    reach = _reach(classes, main)
    steps = [main * step for step in STEPS]
    return sorted({main, reach, *(step for step in steps if step < reach)})


def _summarise(
    sae: MeasuredSae, edit: str, length: float | None, own: Readings
) -> dict[str, float | int | None]:
    judged, here = sae.judged, read_classes(sae, edit, length)
    n_able = sum(edit in effects.edits for effects in judged.values())
    lengths = [reading.length for reading in here.values()]
    numbers: dict[str, float | int | None] = {
        "length": length or (float(np.mean(lengths)) if lengths else np.nan),
        "n_classes": len(here),
        "n_unjudged": len(sae.class_names) - len(judged),
        "n_unreached": n_able - len(here),
        "n_half": sum(
            round(reading.loss, TIE_DECIMALS) >= HALF for reading in here.values()
        ),
        "n_gone": sum(reading.loss >= GONE for reading in here.values()),
    }
    for name in ("loss", "collateral", "specificity"):
        numbers |= with_ends(name, _mean(name, here, list(here)))
    both = [label for label in here if label in own]
    is_own = edit == OWN
    margin = _mean("specificity", own, [] if is_own else both, here)
    numbers |= with_ends("margin", margin) | {"margin_p": margin.p}
    if is_own:
        return numbers | dict.fromkeys(("n_compared", "n_above", "n_below"))
    margin_C = [
        round(own[label].specificity - here[label].specificity, TIE_DECIMALS)
        for label in both
    ]
    wins = [(margin > 0) + 0.5 * (margin == 0) for margin in margin_C]
    numbers |= {
        "n_compared": len(both),
        "win_rate": float(np.mean(wins)) if wins else np.nan,
    }
    if length is None:
        return numbers | dict.fromkeys(("n_above", "n_below"))
    ends = [
        _margin_ends(judged[label], edit, length, own[label], here[label])
        for label in both
    ]
    return numbers | {
        "n_above": sum(round(low, DECIMALS) > 0 for low, _ in ends),
        "n_below": sum(round(high, DECIMALS) < 0 for _, high in ends),
    }


def _margin_ends(
    effects: ClassEffects, edit: str, length: float, own: Reading, here: Reading
) -> tuple[float, float]:
    """The interval of a class's margin, over images and draws; NaN if unknown."""
    draw_N = draws_at_length(effects, edit, length)
    is_drawn = edit not in (OWN, "class_direction")
    margin = of_one_class(
        own.specificity - here.specificity,
        own.specificity_M - here.specificity_M,
        effects.n_images,
        effects.n_effective,
        draw_N if is_drawn else None,
    )
    return margin.low, margin.high


def _mean(
    name: str,
    readings: Readings,
    labels: Sequence[int],
    minus: Readings | None = None,
) -> Interval:
    """The mean of a measure over classes with its interval, or of a difference."""
    values, influences = [], []
    for label in labels:
        value = getattr(readings[label], name)
        influence_M = getattr(readings[label], f"{name}_M")
        if minus is not None:
            value = value - getattr(minus[label], name)
            influence_M = influence_M - getattr(minus[label], f"{name}_M")
        values.append(value)
        influences.append(influence_M)
    if not values:
        return NOTHING
    return mean_over_classes(np.array(values), np.stack(influences))


# Trained and untrained SAEs -------------------------------------------------------


def compare_with_controls(
    saes: Sequence[MeasuredSae],
    lengths: Mapping[Layer, float],
    controls: Sequence[str],
) -> pd.DataFrame:
    """Compare each trained SAE with the untrained ones, paired by class.

    Untrained SAEs of the same layer and with as many latents are its controls; of
    several, the mean is taken.

    Args:
        saes: from `measure`.
        lengths: from `find_lengths`.
        controls: the methods that train nothing.

    Returns:
        A row for each trained SAE and point, with the columns of `Place` and

        - `at`, `length`, `is_main`: as in `summarise`, `length` empty at half loss;
          `n_controls`: its untrained SAEs;
        - `n_classes`: classes that reach the point in all of these SAEs, `n_unreached`:
          those that could be judged with all, but do not reach it in one; `n_gone`:
          those that are gone there in all; `n_before_first`: those whose curve, with
          one of these SAEs, is read before its shortest measured edit;
        - `lead`: the mean over classes of its specificity minus the control's, with
          the ends of its interval; `n_more`, `n_less`: classes in which it is more, or
          less, specific; `p`: the p-value of no lead, corrected by Holm's method over
          all SAEs at their main length, and over all at half loss; empty elsewhere;
        - `net_lead` with its ends and `net_p`: the same of the margin over random
          directions instead of the specificity. They have the lengths of the latents'
          edits on the same patches, so the rest is what the direction of the edits
          does, not their place. Empty at half loss, where lengths differ, and where a
          class lacks random directions.
    """
    rows = []
    for at in (AT_LENGTH, AT_HALF):
        for sae in saes:
            if sae.place.method in controls:
                continue
            untrained = _controls_of(sae, saes, controls)
            main = lengths[Layer.of(sae.place)]
            points = _shared_steps([sae, *untrained], main)
            for length in points if at == AT_LENGTH else [None]:
                point = {"at": at, "is_main": length in (main, None)}
                rows.append(point | _compare(sae, untrained, length))
    columns = [*Place._fields, *_COMPARED]
    table = pd.DataFrame(rows, columns=columns).astype({"is_main": bool})
    family = table["at"].where(table["is_main"], "")
    at_length = _correct(table["p"], family == AT_LENGTH)
    table["p"] = at_length.fillna(_correct(table["p"], family == AT_HALF))
    table["net_p"] = _correct(table["net_p"], family == AT_LENGTH)
    return table


_COMPARED = (
    *("at", "is_main", "length", "n_controls", "n_classes", "n_unreached", "n_gone"),
    "n_before_first",
    *("lead", "lead_low", "lead_high", "n_more", "n_less", "p"),
    *("net_lead", "net_lead_low", "net_lead_high", "net_p"),
)


def _shared_steps(saes: Sequence[MeasuredSae], main: float) -> list[float]:
    """The lengths at which SAEs are compared: those that all shared classes reach."""
    shared = _shared(saes)
    if len(saes) == 1 or not shared:
        return [main]
    # The shortest of a class's longest edits decides.
    by_class = [[sae.judged[label] for sae in saes] for label in shared]
    reaching = [
        some for some in by_class if min(each.length_O.max() for each in some) >= main
    ]
    return _steps((each for some in reaching for each in some), main)


def _shared(saes: Sequence[MeasuredSae]) -> list[int]:
    """Labels of the classes that are judged with all SAEs."""
    return sorted(set.intersection(*(set(sae.judged) for sae in saes)))


def _controls_of(
    sae: MeasuredSae, saes: Sequence[MeasuredSae], controls: Sequence[str]
) -> list[MeasuredSae]:
    n_latents = Run.parse(sae.place.run).n_prototypes
    return [
        other
        for other in saes
        if other.place.method in controls
        and Layer.of(other.place) == Layer.of(sae.place)
        and Run.parse(other.place.run).n_prototypes == n_latents
    ]


def _compare(
    sae: MeasuredSae,
    untrained: Sequence[MeasuredSae],
    length: float | None,
) -> dict[str, str | int | float]:
    readings = [read_classes(each, OWN, length) for each in (sae, *untrained)]
    shared = _shared([sae, *untrained]) if untrained else []
    labels = [label for label in shared if all(label in some for some in readings)]
    row = {
        **sae.place._asdict(),
        "length": np.nan if length is None else length,
        "n_controls": len(untrained),
        "n_classes": len(labels),
        "n_unreached": len(shared) - len(labels),
        "n_gone": sum(
            all(some[label].loss >= GONE for some in readings) for label in labels
        ),
        "n_before_first": sum(
            any(some[label].is_before_first for some in readings) for label in labels
        ),
        **dict.fromkeys(("lead", "lead_low", "lead_high", "p"), np.nan),
        **dict.fromkeys(("net_lead", "net_lead_low", "net_lead_high"), np.nan),
        **dict.fromkeys(("n_more", "n_less"), 0),
        "net_p": np.nan,
    }
    if not labels:
        return row
    lead_C, lead_CM = _leads(readings, labels)
    lead = mean_over_classes(lead_C, lead_CM)
    lead_C = lead_C.round(TIE_DECIMALS)
    row |= {
        **with_ends("lead", lead),
        "n_more": int((lead_C > 0).sum()),
        "n_less": int((lead_C < 0).sum()),
        "p": lead.p,
    }
    if length is None:
        return row
    blind = [read_classes(each, BLIND, length) for each in (sae, *untrained)]
    if not all(label in some for label in labels for some in blind):
        return row  # a net lead over other classes would not go with the lead
    blind_C, blind_CM = _leads(blind, labels)
    lead_C, lead_CM = _leads(readings, labels)
    net = mean_over_classes(lead_C - blind_C, lead_CM - blind_CM)
    return row | with_ends("net_lead", net) | {"net_p": net.p}


def _leads(
    readings: Sequence[Readings], labels: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The specificity of the first minus the mean of the others, and its influences."""
    own, *others = readings
    lead_C, lead_CM = (
        np.stack(
            [
                getattr(own[label], name)
                - np.mean([getattr(some[label], name) for some in others], axis=0)
                for label in labels
            ]
        )
        for name in ("specificity", "specificity_M")
    )
    return lead_C, lead_CM
