"""Choose the best prototype for each trait on training images, and test it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from vitproto.traits.average_precision import average_precision
from vitproto.traits.chance import chance_of
from vitproto.traits.subsets import nested_order, subset_sizes

SAME_AP = 1e-9
"""APs that differ by no more are equal. The same AP comes out differently in its last
bits if its terms are summed in another order: by less than n × 1e-16 over n images.
APs that really differ are further apart where ties are frequent: by 8e-8 or more
on 16 images, whose APs are fractions with a denominator of at most 16 × 720,720."""

NONE = -1
"""Marks a trait without prototype, because no image of the subset shows it."""


class Selection(NamedTuple):
    """The prototype chosen for each trait on one subset of the training images."""

    n_train: int
    """Number of images in the subset."""
    selection_seed: int
    """The seed of the subset, and of the draw among equal prototypes."""
    prototype_T: Int[np.ndarray, " t"]
    """The chosen prototype, or `NONE`."""
    train_ap_T: Float[np.ndarray, " t"]
    """Its AP on the subset; NaN if there is no prototype."""
    test_ap_T: Float[np.ndarray, " t"]
    """Its AP on all test images. Chance, the expected AP of a random ranking, if no
    prototype could be chosen; NaN if no test image shows the trait."""


def select_prototypes(
    scores_NK: Float[np.ndarray, "n k"],
    labels_NT: Bool[np.ndarray, "n t"],
    known_NT: Bool[np.ndarray, "n t"],
    is_train_N: Bool[np.ndarray, " n"],
    n_train: Sequence[int | Literal["all"]],
    selection_seeds: Sequence[int],
) -> list[Selection]:
    """Choose a prototype for each trait, on subsets of several sizes, and test it.

    Chosen is the prototype with the highest AP on the subset, and one of them at random
    if several have it, see `best_prototypes`. If no image of the subset shows a trait,
    it gets no prototype, and its test AP is the expected one of a random ranking.

    Args:
        scores_NK: the scores of all images, training and test.
        labels_NT: which image shows which trait, in the same order.
        known_NT: which of the labels are known; the others choose and test nothing.
        is_train_N: which images are for training; the others are for testing.
        n_train: sizes of the subsets, see `subset_sizes`.
        selection_seeds: each gives one random subset of a size, see `nested_order`,
            and decides between equal prototypes.

    Returns:
        One entry per size and seed, sorted by size, then in the order of the seeds.
        There is only one subset of all training images; it has the first seed.

    Raises:
        ValueError: a size is not between 1 and the number of training images, there
            are no sizes or no seeds, or a score is NaN.
    """
    if not n_train or not selection_seeds:
        raise ValueError(
            "no subset to choose prototypes on: write at least one `n_train` and one "
            "seed under `selection` in the config file"
        )
    train, test = np.flatnonzero(is_train_N), np.flatnonzero(~is_train_N)
    chosen = []
    for size in subset_sizes(n_train, len(train)):
        seeds = selection_seeds[:1] if size == len(train) else selection_seeds
        for seed in seeds:
            rows = train[np.sort(nested_order(len(train), seed)[:size])]
            rng = np.random.default_rng([seed, size])
            labelled = (labels_NT[rows], known_NT[rows])
            best = best_prototypes(scores_NK[rows], *labelled, rng)
            chosen.append((size, seed, *best))

    # Only chosen prototypes are ranked on test images, each once.
    prototypes_C = np.setdiff1d([prototype_T for _, _, prototype_T, _ in chosen], NONE)
    labelled = (labels_NT[test], known_NT[test])
    test_ap_CT = average_precision(scores_NK[np.ix_(test, prototypes_C)], *labelled)
    chance_T = chance_of(*labelled)
    selections = []
    for size, seed, prototype_T, train_ap_T in chosen:
        test_ap_T = chance_T.copy()
        traits = np.flatnonzero(prototype_T != NONE)
        columns = np.searchsorted(prototypes_C, prototype_T[traits])
        test_ap_T[traits] = test_ap_CT[columns, traits]
        selections.append(Selection(size, seed, prototype_T, train_ap_T, test_ap_T))
    return selections


def best_prototypes(
    scores_NK: Float[np.ndarray, "n k"],
    labels_NT: Bool[np.ndarray, "n t"],
    known_NT: Bool[np.ndarray, "n t"] | None,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Find for each trait a prototype with the highest AP, at random among equals.

    On few images many prototypes have the highest AP. If the first of them were taken,
    methods whose prototypes are ordered, such as `pca` and `matryoshka`, would differ
    from others for that reason alone.

    Args:
        scores_NK: the scores of the images that choose.
        labels_NT: which of them shows which trait.
        known_NT: which labels are known; None for all.
        rng: draws one number for each trait, so that one trait's draw depends neither
            on the others' nor on how many prototypes are equal.

    Returns:
        The prototype of each trait, `NONE` if no image shows it; and its AP, or NaN.
    """
    return choose_best(average_precision(scores_NK, labels_NT, known_NT), rng)


def choose_best(
    ap_KT: Float[np.ndarray, "k t"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Choose for each trait a prototype with the highest AP, see `best_prototypes`."""
    draw_T = rng.random(ap_KT.shape[1])
    is_best_KT = ap_KT >= ap_KT.max(axis=0) - SAME_AP  # nowhere where there are NaN
    traits, prototypes = np.nonzero(is_best_KT.T)
    n_best_T = np.bincount(traits, minlength=len(draw_T))
    has = np.flatnonzero(n_best_T)
    # The prototypes of all traits stand one after the other.
    place_T = np.cumsum(n_best_T) - n_best_T + (draw_T * n_best_T).astype(np.int64)
    prototype_T = np.full(len(draw_T), NONE)
    prototype_T[has] = prototypes[place_T[has]]
    train_ap_T = np.full(len(draw_T), np.nan)
    train_ap_T[has] = ap_KT[prototype_T[has], has]
    return prototype_T, train_ap_T


def any_chosen(selections: Sequence[Selection]) -> Int[np.ndarray, " c"]:
    """The prototypes chosen for any trait on any subset, ascending, each once."""
    return np.setdiff1d([chosen.prototype_T for chosen in selections], NONE)


def count_alive(scores_NK: Float[np.ndarray, "n k"]) -> int:
    """Count the prototypes that are alive.

    A prototype is dead if it scores all images the same, such as a latent that is never
    active.
    """
    return int((scores_NK.max(axis=0) > scores_NK.min(axis=0)).sum())


def to_table(
    selections: Sequence[Selection],
    trait_names: Sequence[str],
    prevalence_T: Float[np.ndarray, " t"],
    chance_T: Float[np.ndarray, " t"],
) -> pd.DataFrame:
    """The chosen prototypes of a run as a table: a row per selection and trait.

    Args:
        selections: all selections of the run.
        trait_names: in the order of the labels.
        prevalence_T: the share of test images that show each trait, of the known ones.
        chance_T: the expected AP of a random ranking of them, or NaN.

    Returns:
        The columns selection_seed, n_train, trait, prototype (empty if there is none),
        train_ap, test_ap, prevalence and chance.
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
            "chance": chance_T,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def in_words(selections: Sequence[Selection]) -> str:
    """Sum up for the log: the mAP at each size, and traits without a prototype."""
    parts = []
    for size in dict.fromkeys(chosen.n_train for chosen in selections):
        same = [chosen for chosen in selections if chosen.n_train == size]
        map_ = np.mean([np.nanmean(chosen.test_ap_T) for chosen in same])
        n_none = np.mean([np.sum(chosen.prototype_T == NONE) for chosen in same])
        none = f" with {n_none:.3g} traits at chance" if n_none else ""
        parts.append(f"{size:,} images mAP {map_:.3f}{none}")
    return ", ".join(parts)
