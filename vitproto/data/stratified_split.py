"""Divide images into those that choose prototypes and those that test them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from vitproto.core.bounds import Index, OpenShare, check_bounds


@dataclass(frozen=True)
class TableSplit:
    """How the images of a table of traits are divided if it has no column `split`."""

    test_share: OpenShare
    """The share of images that test prototypes; the others choose them."""
    seed: Index
    """Decides which images test."""

    def __post_init__(self) -> None:
        check_bounds(self)


def split_groups(
    groups: Sequence[str], labels_NT: Bool[np.ndarray, "n t"], split: TableSplit
) -> Bool[np.ndarray, " n"]:
    """Divide groups of images so that each trait has the same share in both parts.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011), with groups in
    place of single examples: the trait that fewest images are left of goes first, and
    each group that has it to the part that lacks most of it.

    Args:
        groups: the group of each image; none is divided.
        labels_NT: which image shows which trait.
        split: the share of test images, and the seed.

    Returns:
        Which images test.

    Raises:
        ValueError: there is only one group.
    """
    names, group_N = np.unique(np.array(groups, dtype=object), return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"all images are of the group {names[0]!r}, which cannot be in both "
            "splits: name smaller groups, or leave the column group out"
        )
    shown_GT = np.zeros((len(names), labels_NT.shape[1]), np.int64)
    np.add.at(shown_GT, group_N, labels_NT.astype(np.int64))
    n_G = np.bincount(group_N)
    is_test_G = _divide(shown_GT, n_G, split)
    return is_test_G[group_N]


def _divide(
    shown_GT: Int[np.ndarray, "g t"], n_G: Int[np.ndarray, " g"], split: TableSplit
) -> Bool[np.ndarray, " g"]:
    """Which groups test."""
    rng = np.random.default_rng(split.seed)
    shares = np.array([1 - split.test_share, split.test_share])
    # What each part still lacks of each trait, and of images.
    lacks_2T = shares[:, None] * shown_GT.sum(axis=0)
    lacks_2 = shares * n_G.sum()
    order_G = rng.permutation(len(n_G))
    part_G = np.full(len(n_G), -1)

    def assign(group: np.integer, lacking_2: np.ndarray) -> None:
        best = np.flatnonzero(lacking_2 == lacking_2.max())
        part = int(best[np.argmax(lacks_2[best])])
        part_G[group] = part
        lacks_2T[part] -= shown_GT[group]
        lacks_2[part] -= n_G[group]

    while True:
        left_G = order_G[part_G[order_G] < 0]
        left_T = shown_GT[left_G].sum(axis=0)
        if not left_T.any():
            break
        rarest = int(np.where(left_T > 0, left_T, np.iinfo(np.int64).max).argmin())
        for group in left_G[shown_GT[left_G, rarest] > 0]:
            assign(group, lacks_2T[:, rarest].copy())
    for group in order_G[part_G[order_G] < 0]:
        assign(group, lacks_2.copy())
    for part in (0, 1):  # neither is empty
        if not (part_G == part).any():
            part_G[order_G[np.argmin(n_G[order_G])]] = part
    return part_G == 1
