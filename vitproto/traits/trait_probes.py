"""Supervised probes for traits: what labels could reach in the same layer.

A prototype is chosen for a trait with the labels of `n_train` images. A linear probe is
fitted with the same labels, but to all dimensions of pooled activations. L
regularisations.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int

from vitproto.core.bounds import AtLeast, Items, Positive, check_bounds
from vitproto.core.confidence import EQUAL
from vitproto.core.threads import one_core_each
from vitproto.traits.average_precision import average_precision
from vitproto.traits.fitted_probes import TraitProbes
from vitproto.traits.ridge import fit_ridge
from vitproto.traits.subsets import nested_order, subset_sizes
from vitproto.traits.trait_split import TraitSplit


@dataclass(frozen=True)
class TraitProbeSettings:
    """Supervised probes for traits: ridge regressions on pooled activations, with which
    prototypes are compared."""

    regularisations: Annotated[tuple[Positive, ...], Items(least=1, different=True)]
    """Penalties on the squared weights, relative to the mean squared error of an image,
    on dimensions of variance 1. One is chosen for each pooling and subset of training
    images, for all traits, by cross-validation on the subset."""
    n_folds: Annotated[int, AtLeast(2)]
    """Parts of a subset of training images, each of which is predicted by a probe that
    was fitted to the others. Where test images are of classes that no training image
    has, images of one class stay in one part."""

    def __post_init__(self) -> None:
        check_bounds(self)


class Labels(NamedTuple):
    """Which of some images show which trait."""

    shown_NT: Bool[np.ndarray, "n t"]
    known_NT: Bool[np.ndarray, "n t"]
    """Which of these labels are known."""

    def of(self, rows: np.ndarray) -> "Labels":
        """The labels of some of the images."""
        return Labels(self.shown_NT[rows], self.known_NT[rows])

    @property
    def n_traits(self) -> int:
        return self.shown_NT.shape[1]

    @property
    def differ_T(self) -> Bool[np.ndarray, " t"]:
        """Whether some images show a trait, and some are known not to."""
        shown_NT = self.shown_NT & self.known_NT
        return shown_NT.any(axis=0) & (~shown_NT & self.known_NT).any(axis=0)

    @property
    def targets_NT(self) -> Float[np.ndarray, "n t"]:
        """1 or 0; where a label is unknown, the mean of the known ones."""
        shown_NT = self.shown_NT & self.known_NT
        mean_T = shown_NT.sum(axis=0) / np.maximum(self.known_NT.sum(axis=0), 1)
        return np.where(self.known_NT, shown_NT.astype(np.float64), mean_T)


def fit_trait_probes(
    pooled_ND: Float32[np.ndarray, "n d"],
    images: TraitSplit,
    groups: Sequence[str],
    n_train: Sequence[int | Literal["all"]],
    selection_seeds: Sequence[int],
    settings: TraitProbeSettings,
) -> list[TraitProbes]:
    """Fit probes for all traits on subsets of several sizes, and test them.

    The subsets are those on which `select_prototypes` chooses.

    Args:
        pooled_ND: pooled activations of all images, training and test.
        images: their labels and split, in the same order.
        groups: images with the same text stay in one fold, empty for none; see
            `find_fold_groups`.
        n_train: sizes of the subsets.
        selection_seeds: each gives one random subset of a size.
        settings: how probes are fitted.

    Returns:
        One entry per size and seed, sorted by size, then in the order of the seeds.

    Raises:
        ValueError: a size is not between 1 and the number of training images.
    """
    train, test = np.flatnonzero(images.is_train_N), np.flatnonzero(~images.is_train_N)
    labels = Labels(images.labels_NT, images.known_NT)
    probes = []
    # A thread does a whole decomposition, so the bits do not depend on their number.
    with one_core_each() as workers:
        for size in subset_sizes(n_train, len(train)):
            seeds = selection_seeds[:1] if size == len(train) else selection_seeds
            for seed in seeds:
                rows = train[np.sort(nested_order(len(train), seed)[:size])]
                fold_N = split_into_folds(
                    [groups[i] for i in rows], settings.n_folds, seed
                )
                ap_LT = cross_validate(
                    *(pooled_ND[rows], labels.of(rows), fold_N),
                    *(settings.regularisations, workers),
                )
                i_chosen = choose_regularisation(ap_LT, settings.regularisations)
                chosen = settings.regularisations[i_chosen]
                scores = workers.submit(
                    *(_fit_and_predict, pooled_ND[rows], labels.of(rows)),
                    *([pooled_ND[rows], pooled_ND[test]], (chosen,)),
                ).result()
                has_probe_T = labels.of(rows).differ_T
                train_MT, test_MT = (
                    np.where(has_probe_T, scores_LMT[0], np.float32(0))
                    for scores_LMT in scores
                )
                train_ap_T = _own_ap(train_MT, labels.of(rows))
                test_ap_T = _own_ap(test_MT, labels.of(test))
                probes.append(
                    TraitProbes(
                        *(size, seed, chosen, has_probe_T, ap_LT[i_chosen]),
                        np.where(has_probe_T, train_ap_T, np.nan),
                        np.where(has_probe_T, test_ap_T, images.chance_T),
                        test_MT,
                    )
                )
    return probes


def find_fold_groups(classes: Sequence[str], is_train_N: np.ndarray) -> list[str]:
    """Say which training images stay together in a fold, to imitate the test.

    If training images lack the class of some test image, a probe must find traits in
    classes that it never saw, and images of one class stay together. If not, it may
    recognise the class, and images are drawn one by one.

    Args:
        classes: the class of each image, empty for none.
        is_train_N: which images are for training.

    Returns:
        Text for each image: its class, or nothing.
    """
    named = zip(classes, is_train_N, strict=True)
    trained, tested = set(), set()
    for name, is_train in named:
        (trained if is_train else tested).add(name)
    return list(classes) if tested - trained else [""] * len(classes)


def split_into_folds(
    groups: Sequence[str], n_folds: int, seed: int
) -> Int[np.ndarray, " n"]:
    """Split images into parts of similar size, at random by seed.

    Images of a group stay together. An image without a group is a group of its own.
    If there are fewer groups than parts, there are as many parts as groups; if there is
    one group only, it is split by images.

    Args:
        groups: the group of each image; empty for none.
        n_folds: the number of parts, at most.
        seed: determines the parts.

    Returns:
        The part of each image, counted from 0.
    """
    named_N = np.array([g or f"/{i}" for i, g in enumerate(groups)], dtype=np.str_)
    group_N = np.unique(named_N, return_inverse=True)[1]
    if group_N.max() == 0:
        group_N = np.arange(len(groups))
    size_G = np.bincount(group_N)
    order_G = np.random.default_rng(seed).permutation(len(size_G))
    n_images_F = np.zeros(min(n_folds, len(size_G)), np.int64)
    fold_G = np.empty(len(size_G), np.int64)
    # The largest group first, each into the smallest part.
    for group in order_G[np.argsort(-size_G[order_G], kind="stable")]:
        fold_G[group] = n_images_F.argmin()
        n_images_F[fold_G[group]] += size_G[group]
    return fold_G[group_N]


def cross_validate(
    pooled_ND: Float32[np.ndarray, "n d"],
    labels: Labels,
    fold_N: Int[np.ndarray, " n"],
    regularisations: tuple[float, ...],
    workers: Executor,
) -> Float[np.ndarray, "l t"]:
    """AP of probes on the images that they were not fitted to, for each regularisation.

    Each part of the images is ranked by a probe that was fitted to the others; parts
    are not ranked together, since their probes have different intercepts. The AP of a
    trait is the mean over the parts in which some images show it and some do not, if
    that holds for the other parts together too.

    Returns:
        NaN for a trait without such a part.
    """
    folds = np.unique(fold_N).tolist()
    if len(folds) < 2:
        return np.full((len(regularisations), labels.n_traits), np.nan)

    def predict(fold: int) -> np.ndarray:
        is_held = fold_N == fold
        fitted = pooled_ND[~is_held], labels.of(~is_held)
        return _fit_and_predict(*fitted, [pooled_ND[is_held]], regularisations)[0]

    sum_LT = np.zeros((len(regularisations), labels.n_traits))
    n_T = np.zeros(labels.n_traits)
    for fold, scores_LMT in zip(folds, workers.map(predict, folds), strict=True):
        held, fitted = labels.of(fold_N == fold), labels.of(fold_N != fold)
        is_rated_T = held.differ_T & fitted.differ_T
        ap_LT = np.stack([_own_ap(scores_MT, held) for scores_MT in scores_LMT])
        sum_LT[:, is_rated_T] += ap_LT[:, is_rated_T]
        n_T += is_rated_T
    return np.where(n_T > 0, sum_LT / np.maximum(n_T, 1), np.nan)


def choose_regularisation(
    ap_LT: Float[np.ndarray, "l t"], regularisations: tuple[float, ...]
) -> int:
    """Choose the regularisation with the highest mean AP over traits.

    One for all traits: most traits have few positives among few images, and a choice of
    their own would follow noise. Traits without a cross-validated AP have no say. Of
    equals, and where no trait has one, it is the strongest.

    Args:
        ap_LT: cross-validated AP, NaN where a trait has none for any regularisation.
        regularisations: those of the rows.

    Returns:
        Its index.
    """
    is_rated_T = ~np.isnan(ap_LT[0])
    map_L = ap_LT[:, is_rated_T].sum(1) / max(1, is_rated_T.sum())
    best = np.flatnonzero(map_L >= map_L.max() - EQUAL)
    return int(max(best, key=lambda i: regularisations[i]))


def _fit_and_predict(
    pooled_ND: np.ndarray,
    labels: Labels,
    predicted: Sequence[np.ndarray],
    regularisations: tuple[float, ...],
) -> list[np.ndarray]:
    """Scores of some images by probes fitted to others: L × M × T each."""
    target_NT = torch.from_numpy(labels.targets_NT)
    path = fit_ridge(torch.from_numpy(pooled_ND), target_NT)
    return [
        path.predict(torch.from_numpy(x_MD), regularisations).numpy()
        for x_MD in predicted
    ]


def _own_ap(
    scores_MT: Float32[np.ndarray, "m t"], labels: Labels
) -> Float[np.ndarray, " t"]:
    """The AP of each trait's own scores."""
    ap_TT = average_precision(scores_MT, labels.shown_NT, labels.known_NT)
    return ap_TT.diagonal().copy()
