"""Pixel counts made up, for tests of what is computed from them."""

from pathlib import Path

import numpy as np

from vitproto.segmentation.suppression.counts_file import (
    EditedClass,
    SuppressionCounts,
)
from vitproto.segmentation.suppression.terms import ChosenClass, Place

PLACE = Place("tiny", 2, 2, "topk", "k24-seed0")


def counted(true_MC, predicted_MC, hit_MC, doses=(0.0,), length=10.0):
    """Counts before any edit; activations have this length."""
    parts = [np.asarray(part, np.int64) for part in (true_MC, predicted_MC, hit_MC)]
    n_images, n_classes = parts[0].shape
    return SuppressionCounts(
        *(Path("counts.h5"), PLACE, tuple(doses)),
        tuple(f"class {c + 1}" for c in range(n_classes)),
        tuple(range(1, n_classes + 1)),
        tuple(f"image{m}" for m in range(n_images)),
        *parts,
        np.full(n_images, length),
    )


def edited(counts, label, after, kinds=("latents",), length_O=(1.0,)):
    """What edits for a class do, from all counts after: predicted and hit, K O M C."""
    predicted_KOMC, hit_KOMC = (
        np.asarray(part, np.int64) - before_MC
        for part, before_MC in zip(
            after, (counts.predicted_MC, counts.hit_MC), strict=True
        )
    )
    n_kinds, n_doses, n_images, _ = hit_KOMC.shape
    is_changed = (predicted_KOMC != 0) | (hit_KOMC != 0)
    kind_X, dose_X, image_X, class_X = np.nonzero(is_changed)
    edit_X = kind_X * n_doses + dose_X
    length_O1 = np.asarray(length_O, float)[:, None]
    return EditedClass(
        ChosenClass(label, f"class {label}", (label,), ()),
        *(tuple(kinds), (), np.repeat(length_O1, n_images, axis=1)),
        *np.zeros((2, n_kinds, n_doses), np.int64),
        *(1, 1),
        np.searchsorted(edit_X, np.arange(n_kinds * n_doses + 1)),
        *(image_X, class_X, predicted_KOMC[is_changed], hit_KOMC[is_changed]),
    )
