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
                "`split` of the image list"
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


def check_same_images(
    image_ids: Sequence[str], where: str, listed_ids: Sequence[str], listed: str
) -> None:
    """Does a file hold exactly the listed images, in the listed order?

    Args:
        image_ids: of the rows of the file.
        where: the file, for the message.
        listed_ids: of the image list, each once.
        listed: the image list's file, for the message.

    Raises:
        ValueError: an image is missing, unknown or doubled, or stands elsewhere. It
            names the first such image and its positions, counted from 1.
    """
    if list(image_ids) == list(listed_ids):
        return
    counts = f"{listed} lists {len(listed_ids)} images, {where} has {len(image_ids)}"
    remedy = "make both from the same data set"
    place = {image_id: i for i, image_id in enumerate(image_ids, 1)}
    listed_place = {image_id: i for i, image_id in enumerate(listed_ids, 1)}
    missing = [image_id for image_id in listed_ids if image_id not in place]
    if missing:
        raise ValueError(
            f"{len(missing)} images are missing in {where}, first {missing[0]!r}, "
            f"number {listed_place[missing[0]]} of {listed} ({counts}): {remedy}"
        )
    unknown = [image_id for image_id in image_ids if image_id not in listed_place]
    if unknown:
        raise ValueError(
            f"{len(unknown)} images of {where} are not in {listed}, first "
            f"{unknown[0]!r}, number {place[unknown[0]]} ({counts}): {remedy}"
        )
    if len(image_ids) != len(listed_ids):
        raise ValueError(f"{where} holds images more than once ({counts}): {remedy}")
    pairs = enumerate(zip(listed_ids, image_ids, strict=True), 1)
    number, image_id = next((i, a) for i, (a, b) in pairs if a != b)
    raise ValueError(
        f"{listed} and {where} order their images differently: {image_id!r} is number "
        f"{number} in the first and {place[image_id]} in the second: {remedy}"
    )
