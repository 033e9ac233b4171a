"""The effects of suppression on each class and on the others: two tables.

R resamples, M test images, C classes, K kinds of edits, O doses.

Intervals are bootstrap intervals: the middle 95 % of resamples of the test images,
drawn with replacement. All classes and edits share the resamples, so comparisons are
made on the same images. Row 0 of every array over R is the test images themselves.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Integer

from vitproto.segmentation.probes.metrics import Counts
from vitproto.segmentation.suppression.edits import EDITS, Edit, SuppressionSettings
from vitproto.segmentation.suppression.latent_tables import ChosenClass
from vitproto.segmentation.suppression.suppress import Before, ClassCounts

Row = dict[str, str | int | float | None]

ABSENT = "not in the validation images"
NO_LATENTS = "no latents are chosen"
DEAD = "its latents are never active"
UNPREDICTED = "the probe never predicts it"
ONE_IMAGE = "shown by one image: no interval"
UNSAMPLED = "no resample shows it with another class: no interval"
NO_PATCH = "no validation patch shows it most"
NO_OTHER_PATCH = "no validation patch shows another class most"
ALONE = "no other class in the validation images"
NO_CONTROL = {
    "random_latents": "no other latent is active",
    "other_class": "no other class has active latents",
    "class_direction": "no direction of the class is known",
}
"""Why a class lacks a control."""

SHARE = 0.95
"""Confidence level."""

MEASURES = (
    *("edit_norm", "iou_before", "iou_after", "accuracy_before", "accuracy_after"),
    *("others_iou_before", "others_iou_after"),
    *("others_accuracy_before", "others_accuracy_after"),
    *("changed_class", "changed_others"),
    *("loss", "loss_low", "loss_high"),
    *("collateral", "collateral_low", "collateral_high"),
    *("specificity", "specificity_low", "specificity_high"),
    *("margin", "margin_low", "margin_high"),
)

CHANGE_COLUMNS = (
    *("label", "class_name", "dose", "to_label", "to_class_name"),
    *("share", "n_patches"),
)


class _Scores(NamedTuple):
    """Scores of a class, and means over the other classes shown; over resamples."""

    iou: np.ndarray
    accuracy: np.ndarray
    others_iou: np.ndarray
    others_accuracy: np.ndarray


def resample(
    n_images: int, cfg: SuppressionSettings
) -> Float64[np.ndarray, "resamples m"]:
    """Draw resamples: how often each image occurs in each. Row 0 is all ones.

    Sums of counts with these weights are sums of integers below 2^53, which are exact
    in float64: the order of additions in a matrix product does not change a bit.
    """
    rng = np.random.default_rng([cfg.seed, n_images])
    drawn_RM = rng.integers(n_images, size=(cfg.n_resamples, n_images))
    counts = [np.bincount(drawn_M, minlength=n_images) for drawn_M in drawn_RM]
    return np.stack([np.ones(n_images), *counts])


def class_rows(
    chosen: ChosenClass,
    before: Before,
    counts: ClassCounts | None,
    weights_RM: Float64[np.ndarray, "resamples m"],
    doses: Sequence[float],
) -> list[Row]:
    """The rows of one class in `suppression.csv`: one for each edit and dose.

    - loss: IoU of the class before the edit - after it.
    - collateral: mean IoU of the other classes that the masks show, before - after.
    - specificity: loss - collateral.
    - margin: specificity of the class's latents - that of the row's control.

    Values of a control are means over its draws. A class that was not measured has a
    row of the edit `latents` for each dose, with a note.

    Args:
        chosen: the class.
        before: the test images before any edit.
        counts: the counts of the class; None if it was not measured.
        weights_RM: from `resample`.
        doses: the doses of the counts.
    """
    n_images = int((before.true_MC[:, chosen.label - 1] > 0).sum())
    notes = _class_notes(chosen, before, counts, n_images)
    if counts is None:
        return [_row(chosen, "latents", dose, 0, n_images, {}, notes) for dose in doses]
    if n_images == 1:
        weights_RM = weights_RM[:1]
    true_RC = _sums(weights_RM, before.true_MC)
    score = partial(_scores, chosen.label - 1, weights_RM, true_RC)
    unedited = score(before.predicted_MC, before.hit_MC)
    rows = []
    for o, dose in enumerate(doses):
        own_R = None
        for edit in EDITS:
            kinds = counts.edits.draws_of(edit)
            if not kinds:
                row_notes = [*notes, NO_CONTROL[edit]]
                rows.append(_row(chosen, edit, dose, 0, n_images, {}, row_notes))
                continue
            draws = [
                score(counts.predicted_KOMC[k, o], counts.hit_KOMC[k, o]) for k in kinds
            ]
            after = _Scores(
                *(np.mean(x_KR, axis=0) for x_KR in zip(*draws, strict=True))
            )
            effects = _effects(unedited, draws)
            if own_R is None:
                own_R = effects["specificity"]
            else:
                effects["margin"] = own_R - effects["specificity"]
            values = {
                "edit_norm": counts.mean_length_O[o] / before.mean_length,
                "changed_class": _share(
                    counts.n_changed_KO[kinds, o], counts.n_patches
                ),
                "changed_others": _share(
                    counts.n_others_changed_KO[kinds, o], counts.n_others
                ),
                **_values(unedited, after, effects),
            }
            is_unsampled = np.isnan(values["specificity_low"])
            is_explained = ONE_IMAGE in notes or ALONE in notes
            row_notes = (
                [*notes, UNSAMPLED] if is_unsampled and not is_explained else notes
            )
            rows.append(
                _row(chosen, edit, dose, len(kinds), n_images, values, row_notes)
            )
    order = {edit: i for i, edit in enumerate(EDITS)}
    return sorted(rows, key=lambda row: order[row["edit"]])  # doses stay in order


def change_rows(
    chosen: ChosenClass,
    counts: ClassCounts,
    doses: Sequence[float],
    class_names: Sequence[str],
) -> list[Row]:
    """The rows of one class in `changes.csv`: the classes that its patches change to.

    There is a row for each dose and each class that any of its patches changes to when
    its latents are suppressed. `n_patches` is the number of such patches, `share` their
    share of all that change.
    """
    return [
        {
            "label": chosen.label,
            "class_name": chosen.name,
            "dose": dose,
            "to_label": int(to) + 1,
            "to_class_name": class_names[to],
            "share": int(n_C[to]) / int(n_C.sum()),
            "n_patches": int(n_C[to]),
        }
        for dose, n_C in zip(doses, counts.n_to_OC, strict=True)
        for to in np.flatnonzero(n_C)
    ]


def interval(values_R: Float64[np.ndarray, " resamples"]) -> tuple[float, float]:
    """The middle 95 % of values over resamples; NaN if there are no values.

    Resamples that do not show the class, or show no other class, have no value (NaN)
    and are left out.
    """
    known_R = values_R[~np.isnan(values_R)]
    if not len(known_R):
        return np.nan, np.nan
    low, high = np.quantile(known_R, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def _class_notes(
    chosen: ChosenClass, before: Before, counts: ClassCounts | None, n_images: int
) -> list[str]:
    """Notes on a class that hold for all its rows."""
    notes = list(chosen.notes)
    if not chosen.latents and not notes:
        notes.append(NO_LATENTS)
    if n_images == 0:
        notes.append(ABSENT)
    if counts is None:
        return notes
    if dead := counts.edits.dead:
        names = ", ".join(map(str, dead))
        is_all = len(dead) == len(chosen.latents)
        notes.append(DEAD if is_all else f"never active of its latents: {names}")
    applies = {
        UNPREDICTED: not before.predicted_MC[:, chosen.label - 1].any(),
        ONE_IMAGE: n_images == 1,
        NO_PATCH: counts.n_patches == 0,
        NO_OTHER_PATCH: counts.n_others == 0,
        ALONE: before.true_MC.any(axis=0).sum() == 1,
    }
    return [*notes, *(note for note, does in applies.items() if does)]


def _effects(unedited: _Scores, draws: Sequence[_Scores]) -> dict[str, np.ndarray]:
    """The effects over resamples, as means over draws.

    Means of differences, not differences of means: they are exactly 0 if no draw
    changes anything.
    """
    loss_R = np.mean([unedited.iou - after.iou for after in draws], axis=0)
    collateral_R = np.mean(
        [unedited.others_iou - after.others_iou for after in draws], axis=0
    )
    return {
        "loss": loss_R,
        "collateral": collateral_R,
        "specificity": loss_R - collateral_R,
    }


def _values(
    unedited: _Scores, after: _Scores, effects: dict[str, np.ndarray]
) -> dict[str, float]:
    """The scores on the test images themselves, and the effects with intervals."""
    values = {}
    for when, scores in (("before", unedited), ("after", after)):
        for name, score_R in scores._asdict().items():
            values[f"{name}_{when}"] = score_R[0]
    for name, effect_R in effects.items():
        low, high = interval(effect_R[1:])
        values |= {name: effect_R[0], f"{name}_low": low, f"{name}_high": high}
    return values


def _scores(
    c: int,
    weights_RM: np.ndarray,
    true_RC: np.ndarray,
    predicted_MC: Integer[np.ndarray, "m c"],
    hit_MC: Integer[np.ndarray, "m c"],
) -> _Scores:
    """IoU and accuracy of class c, and their means over the other classes shown."""
    sums = (_sums(weights_RM, counts_MC) for counts_MC in (predicted_MC, hit_MC))
    counts = Counts(true_RC, *sums)
    iou_RC, accuracy_RC = counts.iou_C, counts.accuracy_C
    others = (_mean_shown(np.delete(part, c, axis=1)) for part in (iou_RC, accuracy_RC))
    return _Scores(iou_RC[:, c], accuracy_RC[:, c], *others)


def _sums(weights_RM: np.ndarray, counts_MC: np.ndarray) -> np.ndarray:
    return (weights_RM @ counts_MC.astype(np.float64)).astype(np.int64)


def _mean_shown(values_RC: np.ndarray) -> np.ndarray:
    """The mean over classes that have a value; NaN if none has."""
    is_shown_RC = ~np.isnan(values_RC)
    sum_R = np.where(is_shown_RC, values_RC, 0).sum(axis=1)
    n_R = is_shown_RC.sum(axis=1)
    return np.divide(sum_R, n_R, where=n_R > 0, out=np.full(len(n_R), np.nan))


def _share(n_K: np.ndarray, n_all: int) -> float:
    """The mean share over draws."""
    return float(np.mean(n_K)) / n_all if n_all else np.nan


def _row(
    chosen: ChosenClass,
    edit: Edit,
    dose: float,
    n_draws: int,
    n_images: int,
    values: dict[str, float],
    notes: Sequence[str],
) -> Row:
    """A row with all columns; unknown values are None, and a note says why."""
    measured = {name: _known(values.get(name, np.nan)) for name in MEASURES}
    return {
        "label": chosen.label,
        "class_name": chosen.name,
        "edit": edit,
        "dose": dose,
        "n_draws": n_draws,
        "latents": " ".join(map(str, chosen.latents)) if edit == "latents" else "",
        "n_images": n_images,
        **measured,
        "note": "; ".join(notes),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
