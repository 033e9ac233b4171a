"""AP of the rows of the mAP table in resamples of test images.

A row is a configuration: a number of prototypes, a setting and an `n_train`; it
averages over fit and selection seeds.

Axes: R resamples of groups of test images, F fit seeds, S selection seeds, T traits
that a test image shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8

from vitproto.data.image_list import read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.traits.chance import expected_ap
from vitproto.traits.chosen_scores import ChosenScores
from vitproto.traits.intervals import Resampled, mean_known
from vitproto.traits.resampled_ap import draw_counts, resample_ap
from vitproto.traits.trait_split import TraitSplit, read_trait_split

SEED = 0
"""Seed of the resamples, so that those of all rows are the same."""

COLUMNS_AT_ONCE = 1024
"""Pairs of a prototype and a trait whose APs are in memory together."""

SAME = 1e-9
"""Largest difference of an AP from that in ap.csv: sums differ in their order."""


@dataclass(frozen=True)
class ResampledImages:
    """The test images, which of them show which trait, and their resamples."""

    labels_NT: Bool[np.ndarray, "n t"]
    known_NT: Bool[np.ndarray, "n t"]
    """Which labels are known."""
    group_N: Int[np.ndarray, " n"]
    """The group of each image, from 0: images of one class are not independent."""
    counts_RG: Int[np.ndarray, "r g"]
    """How often each resample takes each group; the first takes each once."""
    is_test_A: Bool[np.ndarray, " a"]
    """Which of all images these are."""
    place: dict[str, int]
    """The column of each trait."""
    answers_NT: UInt8[np.ndarray, "n t"] | None
    """The answers of annotators, if the data set has some."""

    @property
    def n_groups(self) -> int:
        """The number of groups."""
        return self.counts_RG.shape[1]

    @property
    def chance_RT(self) -> Float[np.ndarray, "r t"]:
        """Expected AP of a random ranking of each resample's images."""
        n_known_RT = self.counts_RG @ self._count_by_group(self.known_NT)
        n_shown_RT = self.counts_RG @ self._count_by_group(self.labels_NT)
        pairs = zip(n_known_RT, n_shown_RT, strict=True)
        return np.stack([expected_ap(*n_T) for n_T in pairs])

    @property
    def n_shown_groups_T(self) -> Int[np.ndarray, " t"]:
        """The number of groups with an image that shows each trait."""
        return np.count_nonzero(self._count_by_group(self.labels_NT), axis=0)

    def count_groups_showing(self, columns: Int[np.ndarray, " c"]) -> int:
        """The number of groups with an image that shows one of these traits."""
        return len(np.unique(self.group_N[self.labels_NT[:, columns].any(axis=1)]))

    def _count_by_group(self, is_NT: np.ndarray) -> np.ndarray:
        counts_GT = np.zeros((self.n_groups, is_NT.shape[1]), np.int64)
        np.add.at(counts_GT, self.group_N, is_NT)
        return counts_GT


def read_resampled_images(
    splits: Path, traits: Path, n_resamples: int
) -> ResampledImages:
    """Read the test images of a data set, and draw resamples of them.

    Groups are the classes of the splits, such as species; an image without a class is a
    group of its own.

    Args:
        splits: the CSV file with the splits.
        traits: the NPZ file with the traits of each image.
        n_resamples: number of resamples.
    """
    images = read_trait_split(splits, traits)
    classes = read_splits(splits)["class_name"].tolist()
    answers_AT = TraitLabels.load(traits).answers_NT
    return resample_images(images, classes, answers_AT, n_resamples)


def resample_images(
    images: TraitSplit,
    classes: Sequence[str],
    answers_AT: UInt8[np.ndarray, "a t"] | None,
    n_resamples: int,
) -> ResampledImages:
    """Draw resamples of the groups of test images.

    Args:
        images: all images.
        classes: the class of each, or nothing.
        answers_AT: the answers of annotators about each, if there are some.
        n_resamples: number of resamples.
    """
    is_test_A = ~images.is_train_N
    names = [
        (name, "" if name else image_id)
        for name, image_id, is_test in zip(
            classes, images.image_ids, is_test_A, strict=True
        )
        if is_test
    ]
    numbers = {name: i for i, name in enumerate(sorted(set(names)))}
    drawn_RG = draw_counts(len(numbers), n_resamples, np.random.default_rng(SEED))
    return ResampledImages(
        labels_NT=images.labels_NT[is_test_A],
        known_NT=images.known_NT[is_test_A],
        group_N=np.array([numbers[name] for name in names]),
        counts_RG=np.concatenate([np.ones_like(drawn_RG[:1]), drawn_RG]),
        is_test_A=is_test_A,
        place={name: t for t, name in enumerate(images.trait_names)},
        answers_NT=None if answers_AT is None else answers_AT[is_test_A],
    )


def resample_rows(
    rows: pd.DataFrame,
    test: ResampledImages,
    chance_RT: Float[np.ndarray, "r t"],
    chosen: ChosenScores,
    subsets: Sequence[Int[np.ndarray, " _"]],
) -> dict[int, list[Resampled]]:
    """The AP of one configuration in resamples, for some subsets of the traits.

    Args:
        rows: the rows of `ap.csv` of all its seeds, for traits that an image shows.
        test: the test images.
        chance_RT: their `chance_RT`, which is the AP of a trait without a prototype.
        chosen: the scores of the prototypes.
        subsets: places of traits among those of the rows, in the order of the labels.

    Returns:
        For each `n_train`, the AP of each subset.

    Raises:
        ValueError: an AP differs from the one in the rows.
    """
    traits = sorted(rows["trait"].unique(), key=test.place.__getitem__)
    sums = {
        n_train: ResampledSums(
            own["seed"].nunique(), own["selection_seed"].nunique(), subsets
        )
        for n_train, own in rows.groupby("n_train")
    }
    for f, (_, fit) in enumerate(rows.groupby("seed")):
        ap_of = _resample_pairs(fit, test, chosen)
        for n_train, size in fit.groupby("n_train"):
            for s, (_, own) in enumerate(size.groupby("selection_seed")):
                own = own.set_index("trait").loc[traits]
                ap_RT = np.stack(
                    [
                        chance_RT[:, test.place[trait]]
                        if pd.isna(prototype)
                        else ap_of[int(prototype), trait]
                        for trait, prototype in own["prototype"].items()
                    ],
                    axis=1,
                )
                check_same_ap(own, ap_RT[0], chosen.path, "select prototypes again")
                sums[n_train].add(f, s, ap_RT)
    return {n_train: total.finish() for n_train, total in sums.items()}


class ResampledSums:
    """Collects the AP of each pair of a fit and a selection seed, in resamples."""

    def __init__(self, n_fits: int, n_selections: int, subsets: Sequence[np.ndarray]):
        """For some subsets of traits, given by their places."""
        self.n_pairs = n_fits * n_selections
        self.ap_FST: np.ndarray | None = None
        self.shape = (n_fits, n_selections)
        self.subsets = subsets

    def add(self, f: int, s: int, ap_RT: Float[np.ndarray, "r t"]) -> None:
        """Add the AP of a pair; on all test images in the first row."""
        if self.ap_FST is None:
            n_resamples, n_traits = len(ap_RT) - 1, ap_RT.shape[1]
            self.ap_FST = np.empty((*self.shape, n_traits))
            self.total_RT = np.zeros((n_resamples, n_traits))
            self.maps_RFS = [np.empty((n_resamples, *self.shape)) for _ in self.subsets]
        self.ap_FST[f, s] = ap_RT[0]
        self.total_RT += ap_RT[1:]
        for map_RFS, subset in zip(self.maps_RFS, self.subsets, strict=True):
            map_RFS[:, f, s] = mean_known(ap_RT[1:, subset])

    def finish(self) -> list[Resampled]:
        """The AP of each subset, once all pairs have been added."""
        assert self.ap_FST is not None
        mean_RT = (self.total_RT / self.n_pairs).astype(np.float32)
        return [
            Resampled(self.ap_FST[..., subset], mean_RT[:, subset], map_RFS)
            for subset, map_RFS in zip(self.subsets, self.maps_RFS, strict=True)
        ]


def _resample_pairs(
    rows: pd.DataFrame, test: ResampledImages, chosen: ChosenScores
) -> dict[tuple[int, str], np.ndarray]:
    """The AP of each prototype of a run for the traits that it was chosen for."""
    pairs = rows[rows["prototype"].notna()].drop_duplicates(["prototype", "trait"])
    ap_of = {}
    for start in range(0, len(pairs), COLUMNS_AT_ONCE):
        some = pairs.iloc[start : start + COLUMNS_AT_ONCE]
        columns = [test.place[trait] for trait in some["trait"]]
        ap_RM = resample_ap(
            chosen.scores_of(some)[test.is_test_A],
            test.labels_NT[:, columns],
            test.group_N,
            test.counts_RG,
            test.known_NT[:, columns],
        )
        keys = zip(some["prototype"].astype(int), some["trait"], strict=True)
        ap_of |= dict(zip(keys, ap_RM.T, strict=True))
    return ap_of


def check_same_ap(
    rows: pd.DataFrame, ap_T: Float[np.ndarray, " t"], path: Path, remedy: str
) -> None:
    """Refuse scores that do not give the AP that was written beside them.

    Args:
        rows: the written rows, by trait.
        ap_T: the AP that the scores give.
        path: the file of scores.
        remedy: what makes both again.
    """
    apart_T = np.abs(rows["test_ap"].to_numpy() - ap_T)
    if (apart_T > SAME).any():
        t = int(apart_T.argmax())
        raise ValueError(
            f"{path} gives trait {rows.index[t]} an AP of {ap_T[t]:.6f}, but the table "
            f"beside it {rows['test_ap'].iloc[t]:.6f}: they are of different runs, "
            f"delete both and {remedy}"
        )
