"""The effects of suppression on each class, measured from the counts of each SAE.

M test images, O doses, N draws of a control.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from vitproto.report.segmentation.suppression_rows import (
    CEILING,
    EDITS,
    MEASURED,
    OWN,
)
from vitproto.segmentation.suppression.counts_file import (
    SuppressionCounts,
    read_counts,
)
from vitproto.segmentation.suppression.curves import Curve, Reading
from vitproto.segmentation.suppression.effects import (
    ClassEffects,
    EditEffects,
    compared_classes,
    measure_class,
)
from vitproto.segmentation.suppression.intervals import Interval, of_one_class
from vitproto.segmentation.suppression.terms import (
    LEAST_IMAGES,
    LEAST_IOU,
    ChosenClass,
    Place,
)

Row = dict[str, str | int | float | None]

ABSENT = "not in the validation images"
NO_LATENTS = "no latents are chosen"
DEAD = "its latents are never active"
UNPREDICTED = "the probe never predicts it"
NOTHING_TO_LOSE = f"its IoU is below {LEAST_IOU:g} before any edit"
FEW_IMAGES = f"fewer than {LEAST_IMAGES} images show it: no interval"
ONE_DRAW = "a single draw: no interval"
NO_PATCH = "no validation patch shows it most"
NO_OTHER_PATCH = "no validation patch shows another class most"
ALONE = "no other class has latents to edit and anything to lose"
NO_CONTROL = {
    "random_latents": "no other latent is active",
    "frequent_latents": "no other latent is active",
    "other_class": "no other class has active latents",
    CEILING: "no direction of the class is known",
}
"""Why a class lacks a control."""


@dataclass(frozen=True)
class MeasuredClass:
    """A class, and what the edits for it do.

    Attributes:
        chosen: the class and its latents.
        notes: what holds for all its rows.
        effects: None if the class was not measured.
    """

    chosen: ChosenClass
    notes: tuple[str, ...]
    effects: ClassEffects | None


@dataclass(frozen=True)
class MeasuredSae:
    """What suppression of an SAE's latents does, class by class.

    Attributes:
        place: the SAE.
        doses: how much latents were suppressed.
        class_names: of the labels 1 to C.
        image_ids: of the test images.
        classes: by label, ascending.
    """

    place: Place
    doses: tuple[float, ...]
    class_names: tuple[str, ...]
    image_ids: tuple[str, ...]
    classes: dict[int, MeasuredClass]

    @property
    def judged(self) -> dict[int, ClassEffects]:
        """The classes whose edits show how much they rely on their latents."""
        return {
            label: measured.effects
            for label, measured in self.classes.items()
            if measured.effects is not None and measured.effects.is_judged
        }


def measure(paths: Sequence[Path]) -> list[MeasuredSae]:
    """Measure the effects of suppression for each SAE.

    Memory holds the influence of each image on the effects of each edit and dose: for
    150 classes, 2,000 images and 6 doses 700 MB for each SAE.

    Args:
        paths: the files of suppress_latents.py, one for each SAE.

    Returns:
        The SAEs in the order of the paths.

    Raises:
        ValueError: a file is missing or damaged, or two are of other images or classes.
    """
    saes = []
    for path in paths:
        counts = read_counts(path)
        compared_C = compared_classes(counts)
        classes = {
            label: _measure(counts, label, compared_C) for label in counts.labels
        }
        names, images = counts.class_names, counts.image_ids
        saes.append(MeasuredSae(counts.place, counts.doses_O, names, images, classes))
        if (names, images) != (saes[0].class_names, saes[0].image_ids):
            raise ValueError(
                f"{path} and {paths[0]} are of other classes or images: give the files "
                "of one study"
            )
    return saes


def _measure(
    counts: SuppressionCounts, label: int, compared_C: Bool[np.ndarray, " c"]
) -> MeasuredClass:
    edited = counts.read_class(label)
    chosen = edited.chosen
    notes = list(chosen.notes)
    if not chosen.latents and not notes:
        notes.append(NO_LATENTS)
    if not counts.true_MC[:, label - 1].any():
        notes.append(ABSENT)
    if not edited.kinds_K:
        return MeasuredClass(chosen, tuple(notes), None)
    effects = measure_class(counts, edited, compared_C)
    if edited.dead:
        names = ", ".join(map(str, edited.dead))
        is_all = len(edited.dead) == len(chosen.latents)
        notes.append(DEAD if is_all else f"never active of its latents: {names}")
    applies = {
        UNPREDICTED: not effects.is_predicted,
        NOTHING_TO_LOSE: effects.is_predicted and effects.iou_before < LEAST_IOU,
        FEW_IMAGES: effects.n_images < LEAST_IMAGES,
        NO_PATCH: edited.n_patches == 0,
        NO_OTHER_PATCH: edited.n_others == 0,
        ALONE: effects.n_others == 0,
    }
    notes += [note for note, does in applies.items() if does]
    return MeasuredClass(chosen, tuple(notes), effects)


# Rows of a class ------------------------------------------------------------------


def tabulate_classes(sae: MeasuredSae) -> pd.DataFrame:
    """The table `suppression.csv` of an SAE: a row for each class, edit and dose.

    A class that was not measured has a row of the edit `latents` for each dose.
    """
    rows = [row for each in sae.classes.values() for row in _rows(each, sae.doses)]
    return pd.DataFrame([{**sae.place._asdict(), **row} for row in rows])


def _rows(measured: MeasuredClass, doses: Sequence[float]) -> Iterator[Row]:
    effects, notes = measured.effects, measured.notes
    row = partial(_row, measured)
    if effects is None:
        yield from (row(OWN, dose, 0, {}, notes) for dose in doses)
        return
    for edit in EDITS:
        for o, dose in enumerate(doses):
            if edit not in effects.edits:
                yield row(edit, dose, 0, {}, [*notes, NO_CONTROL[edit]])
                continue
            n_draws = len(effects.edits[edit].loss_NO)
            is_single = n_draws == 1 and edit not in (OWN, CEILING)
            values = _values(effects, edit, o)
            all_notes = [*notes, ONE_DRAW] if is_single else notes
            yield row(edit, dose, n_draws, values, all_notes)


def _values(effects: ClassEffects, edit: str, o: int) -> dict[str, float]:
    """What an edit does at a dose, with intervals over images and draws."""
    here, own = effects.edits[edit], effects.edits[OWN]
    is_drawn = edit not in (OWN, CEILING)
    parts = {
        "loss": (here.loss_NO[:, o], here.loss_OM[o]),
        "collateral": (here.collateral_NO[:, o], here.collateral_OM[o]),
        "specificity": (_specific_N(here, o), _specific_M(here, o)),
    }
    if edit != OWN:
        parts["margin"] = (
            _specific_N(own, o)[0] - _specific_N(here, o),
            _specific_M(own, o) - _specific_M(here, o),
        )
    values = {
        "edit_norm": effects.length_O[o],
        "iou_before": effects.iou_before,
        "iou_after": here.iou_O[o],
        "accuracy_before": effects.accuracy_before,
        "accuracy_after": here.accuracy_O[o],
        "others_iou_before": effects.others_iou_before,
        "others_iou_after": here.others_iou_O[o],
        "others_accuracy_before": effects.others_accuracy_before,
        "others_accuracy_after": here.others_accuracy_O[o],
        "changed_class": here.changed_O[o],
        "changed_others": here.others_changed_O[o],
    }
    for name, (value_N, influence_M) in parts.items():
        draw_N = value_N if is_drawn else None
        interval = of_one_class(
            float(value_N.mean()),
            influence_M.astype(np.float64),
            effects.n_images,
            effects.n_effective,
            draw_N,
        )
        values |= with_ends(name, interval)
    return values


def with_ends(name: str, interval: Interval) -> dict[str, float]:
    """Columns of a number with its interval."""
    return {
        name: interval.value,
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


def _specific_N(edit: EditEffects, o: int) -> Float64[np.ndarray, " n"]:
    return edit.loss_NO[:, o] - edit.collateral_NO[:, o]


def _specific_M(edit: EditEffects, o: int) -> np.ndarray:
    return edit.loss_OM[o] - edit.collateral_OM[o]


def _row(
    measured: MeasuredClass,
    edit: str,
    dose: float,
    n_draws: int,
    values: dict[str, float],
    notes: Sequence[str],
) -> Row:
    chosen = measured.chosen
    return {
        "label": chosen.label,
        "class_name": chosen.name,
        "edit": edit,
        "dose": dose,
        "n_draws": n_draws,
        "latents": " ".join(map(str, chosen.latents)) if edit == OWN else "",
        "n_images": 0 if measured.effects is None else measured.effects.n_images,
        **{name: values.get(name, np.nan) for name in MEASURED},
        "note": "; ".join(notes),
    }


# Curves of a class ----------------------------------------------------------------


def mean_curve(effects: ClassEffects, edit: str) -> Curve:
    """The curve of an edit, of the means over its draws."""
    part = effects.edits[edit]
    return Curve.through(
        effects.length_O,
        *(part.loss_NO.mean(axis=0), part.collateral_NO.mean(axis=0)),
        *(part.loss_OM.astype(np.float64), part.collateral_OM.astype(np.float64)),
    )


def draws_at_length(
    effects: ClassEffects, edit: str, length: float
) -> Float64[np.ndarray, " n"] | None:
    """The specificity of each draw at an edit length; None if it is out of reach."""
    part = effects.edits[edit]
    none_OM = np.zeros((len(effects.length_O), 0))
    readings: list[Reading | None] = [
        Curve.through(
            effects.length_O, loss_O, collateral_O, none_OM, none_OM
        ).at_length(length)
        for loss_O, collateral_O in zip(part.loss_NO, part.collateral_NO, strict=True)
    ]
    known = [reading.specificity for reading in readings if reading is not None]
    return np.array(known) if len(known) == len(readings) else None
