"""Stop before a table that would mislead: labels, splits and orders that are wrong."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

CONSTANT_MAP_LIMIT = 0.5
"""Labels for which a constant score reaches a higher mAP than this are refused. CUB-200
stands near 0.1; a loader that reads every cell as present reaches 0.8."""

N_WORST = 3
"""Traits to name when the labels are refused."""


def check_labels(
    labels_NT: Bool[np.ndarray, "n t"],
    trait_names: Sequence[str],
    splits: Sequence[str],
) -> None:
    """Can these labels tell prototypes that see from prototypes that do not?

    Constant scores rank all images alike, so their AP is the share of images that
    show the trait: its prevalence. Where the mean of that is high, prototypes that
    see nothing look good.

    Args:
        labels_NT: which image shows which trait.
        trait_names: one per column, for the message.
        splits: `train` or `test`, one per image.

    Raises:
        ValueError: a split has no image, none of its images shows any trait, or
            constant scores reach a mean AP above `CONSTANT_MAP_LIMIT` on it.
    """
    for split in ("train", "test"):
        in_split_N = np.array([value == split for value in splits], dtype=bool)
        if not in_split_N.any():
            raise ValueError(
                f"none of the {len(splits)} images is in the {split} split: prototypes "
                "are chosen on train and scored on test images, so correct the column "
                "`split` of DATASET.splits.csv"
            )
        _check_chance(labels_NT[in_split_N], trait_names, split)


def _check_chance(
    labels_NT: np.ndarray, trait_names: Sequence[str], split: str
) -> None:
    prevalence_T = labels_NT.mean(axis=0)
    shown_T = prevalence_T > 0
    if not shown_T.any():
        raise ValueError(
            f"none of the {len(labels_NT)} {split} images shows any of the "
            f"{len(trait_names)} traits: look at the label files of the data set"
        )
    chance = prevalence_T[shown_T].mean()
    if chance > CONSTANT_MAP_LIMIT:
        worst = np.argsort(-prevalence_T, kind="stable")[:N_WORST]
        named = ", ".join(f"{trait_names[t]} {prevalence_T[t]:.0%}" for t in worst)
        raise ValueError(
            f"constant scores would reach a mAP of {chance:.2f} on the {split} labels "
            f"(limit {CONSTANT_MAP_LIMIT}), so the table would praise prototypes that "
            f"see nothing. Most shown: {named} of {len(labels_NT)} images. Probably "
            "the label reader ignores the column that says whether a trait is present "
            "(`present` in CUB-200): check how the labels were read, and leave out "
            "traits that nearly every image shows"
        )
