"""Refuse labels and splits that would make the tables misleading."""

from collections.abc import Sequence

import numpy as np

from vitproto.data.trait_labels import TraitLabels
from vitproto.traits.chance import prevalence_of

CONSTANT_MAP_LIMIT = 0.5
"""Labels are refused if constant scores reach a higher mAP. It is near 0.1 for CUB-200,
and above 0.8 if a loader reads every cell as present."""

N_WORST = 3
"""Number of traits that the refusal names."""


def check_labels(labels: TraitLabels, splits: Sequence[str]) -> None:
    """Check that labels can tell useful prototypes from useless ones.

    The AP of constant scores is the trait's prevalence, the share of images that show
    it among those where it is known. If the mean prevalence is high, useless prototypes
    look good. That is refused only where labels were made of annotators' answers, which
    can be misread; whoever writes 0 and 1 in a table may ask for frequent traits.

    Args:
        labels: which image shows which trait.
        splits: `train` or `test`, one per image.

    Raises:
        ValueError: a split has no image, none of its images shows any trait, or
            constant scores reach a mean AP above `CONSTANT_MAP_LIMIT` on it.
    """
    limit = 1.0 if labels.answers_NT is None else CONSTANT_MAP_LIMIT
    for split in ("train", "test"):
        in_split_N = np.array([value == split for value in splits], dtype=bool)
        if not in_split_N.any():
            raise ValueError(
                f"none of the {len(splits)} images is in the {split} split: prototypes "
                "are chosen on train and scored on test images, so correct the column "
                "`split` of DATASET.splits.csv"
            )
        prevalence_T = prevalence_of(
            labels.labels_NT[in_split_N], labels.known_NT[in_split_N]
        )
        n_images, names = int(in_split_N.sum()), labels.trait_names
        _check_prevalence(prevalence_T, n_images, names, split, limit)


def _check_prevalence(
    prevalence_T: np.ndarray,
    n_images: int,
    trait_names: Sequence[str],
    split: str,
    limit: float,
) -> None:
    shown_T = prevalence_T > 0
    if not shown_T.any():
        raise ValueError(
            f"none of the {n_images} {split} images shows any of the "
            f"{len(trait_names)} traits: look at the label files of the data set"
        )
    reached = prevalence_T[shown_T].mean()
    if reached > limit:
        worst = np.argsort(-prevalence_T, kind="stable")[:N_WORST]
        named = ", ".join(f"{trait_names[t]} {prevalence_T[t]:.0%}" for t in worst)
        raise ValueError(
            f"constant scores would reach an mAP of {reached:.2f} on the {split} "
            f"labels (limit {limit}), so useless prototypes would look "
            f"good. Most frequent traits: {named} of {n_images} images. Probably the "
            "label reader ignores the column that says whether a trait is present "
            "(`present` in CUB-200): check how the labels were read, and leave out "
            "traits that nearly every image shows"
        )
