"""Choose the prototype that finds each trait best, and test it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from vitproto.traits.average_precision import average_precision

NONE = -1
"""Stands for a prototype where no image of the subset shows the trait."""


class Selection(NamedTuple):
    """The prototype chosen for each trait on one subset of the training images."""

    n_train: int
    """Images in the subset."""
    selection_seed: int
    """Which random subset of that size."""
    prototype_T: Int[np.ndarray, " t"]
    """The chosen prototype, or `NONE`."""
    train_ap_T: Float[np.ndarray, " t"]
    """Its AP on the subset; NaN where there is none."""
    test_ap_T: Float[np.ndarray, " t"]
    """Its AP on all test images. Chance (the prevalence) where no prototype could be
    chosen, NaN where no test image shows the trait."""


def select_prototypes(
    scores_NK: Float[np.ndarray, "n k"],
    labels_NT: Bool[np.ndarray, "n t"],
    is_train_N: Bool[np.ndarray, " n"],
    n_train: Sequence[int | Literal["all"]],
    selection_seeds: Sequence[int],
) -> list[Selection]:
    """Which prototype finds each trait best, judged on few or on many images?

    The prototype with the highest AP on the subset; of equals the one with the
    lowest index. A trait that no image of the subset shows cannot choose: it gets no
    prototype, and scores what constant scores reach on the test images.

    Args:
        scores_NK: of all images, training and test.
        labels_NT: which image shows which trait, in the same order.
        is_train_N: which images may choose; the others test.
        n_train: sizes of the subsets, see `subset_sizes`.
        selection_seeds: each gives one random subset of a size, see `nested_order`.

    Returns:
        One entry per size and seed, by rising size and in the order of the seeds. All
        training images are one subset, so that size has the first seed only.

    Raises:
        ValueError: a size is not between 1 and the number of training images, there
            is no size or no seed, or a score is NaN.
    """
    if not n_train or not selection_seeds:
        raise ValueError(
            "nothing to choose on: give at least one `n_train` and one seed under "
            "`selection` in the config file"
        )
    train, test = np.flatnonzero(is_train_N), np.flatnonzero(~is_train_N)
    chosen = []
    for size in subset_sizes(n_train, len(train)):
        seeds = selection_seeds[:1] if size == len(train) else selection_seeds
        for seed in seeds:
            rows = train[np.sort(nested_order(len(train), seed)[:size])]
            best = _best_prototypes(scores_NK[rows], labels_NT[rows])
            chosen.append((size, seed, *best))

    # One sort per prototype that anything chose, not one per prototype.
    prototypes_C = np.setdiff1d([prototype_T for _, _, prototype_T, _ in chosen], NONE)
    test_ap_CT = average_precision(
        scores_NK[np.ix_(test, prototypes_C)], labels_NT[test]
    )
    prevalence_T = labels_NT[test].mean(axis=0)
    chance_T = np.where(prevalence_T > 0, prevalence_T, np.nan)
    selections = []
    for size, seed, prototype_T, train_ap_T in chosen:
        test_ap_T = chance_T.copy()
        traits = np.flatnonzero(prototype_T != NONE)
        columns = np.searchsorted(prototypes_C, prototype_T[traits])
        test_ap_T[traits] = test_ap_CT[columns, traits]
        selections.append(Selection(size, seed, prototype_T, train_ap_T, test_ap_T))
    return selections


def any_chosen(selections: Sequence[Selection]) -> Int[np.ndarray, " c"]:
    """Which prototypes did any subset choose for any trait? Ascending, each once."""
    return np.setdiff1d([chosen.prototype_T for chosen in selections], NONE)


def count_alive(scores_NK: Float[np.ndarray, "n k"]) -> int:
    """How many prototypes tell images apart at all?

    A prototype is alive if it scores some image above its minimum over all images.
    The latent of a sparse autoencoder that is never active is dead: 0 everywhere.
    """
    return int((scores_NK.max(axis=0) > scores_NK.min(axis=0)).sum())


def subset_sizes(
    n_train: Sequence[int | Literal["all"]], n_available: int
) -> list[int]:
    """The sizes of the training subsets as numbers, rising, each once.

    Raises:
        ValueError: a size is not between 1 and `n_available`.
    """
    sizes = {n_available if n == "all" else n for n in n_train}
    for size in sorted(sizes):
        if not 1 <= size <= n_available:
            raise ValueError(
                f"cannot choose prototypes on {size} images, there are {n_available} "
                "training images: correct `selection: n_train` in the config file "
                f"(1 to {n_available}, or `all`)"
            )
    return sorted(sizes)


def nested_order(n_images: int, selection_seed: int) -> Int[np.ndarray, " n"]:
    """The images in the order in which they enter the subsets of one seed.

    A subset is a beginning of this order: a larger one holds the smaller ones, so
    that a curve over sizes shows what more images add, not other images.
    """
    return np.random.default_rng(selection_seed).permutation(n_images)


def to_table(
    selections: Sequence[Selection],
    trait_names: Sequence[str],
    prevalence_T: Float[np.ndarray, " t"],
) -> pd.DataFrame:
    """Which prototype was chosen for which trait, one row each?

    Args:
        selections: of one run.
        trait_names: in the order of the labels.
        prevalence_T: the share of test images that show the trait.

    Returns:
        The columns selection_seed, n_train, trait, prototype (empty where there is
        none), train_ap, test_ap and prevalence.
    """
    tables = []
    for chosen in selections:
        prototype = pd.Series(chosen.prototype_T, dtype="Int64")
        columns = {
            "selection_seed": chosen.selection_seed,
            "n_train": chosen.n_train,
            "trait": trait_names,
            "prototype": prototype.mask(prototype == NONE),
            "train_ap": chosen.train_ap_T,
            "test_ap": chosen.test_ap_T,
            "prevalence": prevalence_T,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def in_words(selections: Sequence[Selection]) -> str:
    """What did each size reach, and how many traits could not choose there?"""
    parts = []
    for size in dict.fromkeys(chosen.n_train for chosen in selections):
        same = [chosen for chosen in selections if chosen.n_train == size]
        map_ = np.mean([np.nanmean(chosen.test_ap_T) for chosen in same])
        n_none = np.mean([np.sum(chosen.prototype_T == NONE) for chosen in same])
        none = f" with {n_none:.3g} traits at chance" if n_none else ""
        parts.append(f"{size:,} images mAP {map_:.3f}{none}")
    return ", ".join(parts)


def _best_prototypes(
    scores_NK: np.ndarray, labels_NT: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each trait the first prototype with the highest AP, and that AP."""
    ap_KT = average_precision(scores_NK, labels_NT)
    # An AP is above 0, so traits without one (NaN) cannot hide a real best here.
    prototype_T = np.where(np.isnan(ap_KT), -1.0, ap_KT).argmax(axis=0)
    train_ap_T = np.take_along_axis(ap_KT, prototype_T[None], axis=0)[0]
    return np.where(np.isnan(train_ap_T), NONE, prototype_T), train_ap_T
