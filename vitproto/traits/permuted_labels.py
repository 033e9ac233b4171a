"""The mAP that selection reaches on labels without meaning, by permuting them.

Axes: N images, K prototypes, T traits.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int

from vitproto.study.run import Run
from vitproto.traits.rankings import Rankings
from vitproto.traits.selection import (
    NONE,
    choose_best,
)
from vitproto.traits.subsets import nested_order, subset_sizes
from vitproto.traits.trait_split import TraitSplit

SEED = 0
"""Seed of the permutations, so that those of all runs are the same."""


class Turns(NamedTuple):
    """The permutations that a run takes."""

    run: Run
    permutations: range
    """Numbers of the permutations; each number is one permutation, for all runs."""
    n_fits: int
    """Fit seeds that share the permutations of the run's configuration."""

    @property
    def settings(self) -> dict[str, int | float | None]:
        """What names the configuration within the family."""
        run = self.run
        settings = {"learning_rate": run.learning_rate, "sparsity": run.sparsity}
        return {"n_prototypes": run.n_prototypes, **settings}


def take_turns(runs: Sequence[Run], n_permutations: int) -> list[Turns]:
    """Share out the permutations of each configuration among its fit seeds.

    Args:
        runs: all runs of a family.
        n_permutations: permutations of each configuration.
    """
    settings = [(run.n_prototypes, run.learning_rate, run.sparsity) for run in runs]
    n_fits = Counter(settings)
    n_seen = Counter[tuple]()
    turns = []
    for run, key in zip(runs, settings, strict=True):
        permutations = range(n_seen[key], n_permutations, n_fits[key])
        turns.append(Turns(run, permutations, n_fits[key]))
        n_seen[key] += 1
    return turns


class PermutedMap(NamedTuple):
    """The mAP under one permutation."""

    n_train: int
    selection_seed: int
    permutation: int
    map: float


def permuted_maps(
    scores_NK: Float32[np.ndarray, "n k"],
    images: TraitSplit,
    n_train: Sequence[int | Literal["all"]],
    selection_seeds: Sequence[int],
    turns: Turns,
) -> Iterator[PermutedMap]:
    """Select prototypes on permuted labels, and test them on permuted labels.

    The rows of the label table are permuted among training images and, independently,
    among test images. That keeps how traits go together, how frequent they are, how
    the scores tie, and the choice of the best of K prototypes, and removes all
    relation of scores to labels.

    Permutation p takes the p-th fit seed and the (p / n_fits)-th selection seed in
    turn, see `take_turns`. So the spread is that of a single pair of seeds, which is
    wider than that of the mean over pairs.

    Args:
        scores_NK: the scores of all images for a run's prototypes.
        images: their labels and split.
        n_train: sizes of the subsets, see `subset_sizes`.
        selection_seeds: seeds of the subsets.
        turns: the permutations of the run.

    Yields:
        The mAP of each size and permutation, over the traits that a test image shows.
        A trait that no image of a subset shows scores chance.
    """
    train, test = np.flatnonzero(images.is_train_N), np.flatnonzero(~images.is_train_N)
    tested, chance_T = Rankings(scores_NK[test]), images.chance_T
    for size in subset_sizes(n_train, len(train)):
        seeds = selection_seeds if size < len(train) else selection_seeds[:1]
        for s, seed in enumerate(seeds):
            subset = nested_order(len(train), seed)[:size]
            ranked = Rankings(scores_NK[train[subset]])
            for p in turns.permutations:
                if p // turns.n_fits % len(seeds) == s:
                    of_train, of_test = _permute(p, train, test)
                    prototype_T, _ = choose_best(
                        ranked.average_precision(
                            images.labels_NT[of_train[subset]],
                            images.known_NT[of_train[subset]],
                        ),
                        np.random.default_rng([SEED, p, size]),
                    )
                    ap_T = tested.average_precision_of(
                        np.maximum(prototype_T, 0),
                        images.labels_NT[of_test],
                        images.known_NT[of_test],
                    )
                    ap_T = np.where(prototype_T == NONE, chance_T, ap_T)
                    yield PermutedMap(size, seed, p, float(np.nanmean(ap_T)))


def _permute(
    p: int, train: Int[np.ndarray, " n"], test: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """The image whose labels each training and each test image gets."""
    rng = np.random.default_rng([SEED, p])
    return rng.permutation(train), rng.permutation(test)
