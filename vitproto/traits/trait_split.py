"""The images of a data set with traits, split into those that choose and that test."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitproto.data.image_list import check_same_images, read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.traits.chance import chance_of, prevalence_of
from vitproto.traits.guard import check_labels


@dataclass(frozen=True)
class TraitSplit:
    """Which of N images shows which of T traits, and which images choose prototypes."""

    image_ids: list[str]
    trait_names: list[str]
    labels_NT: Bool[np.ndarray, "n t"]
    known_NT: Bool[np.ndarray, "n t"]
    """Which of the labels are known; the others count nowhere."""
    is_train_N: Bool[np.ndarray, " n"]
    """Which images choose; the others test."""

    @property
    def prevalence_T(self) -> Float[np.ndarray, " t"]:
        """The share of test images that show each trait, of those where it is known."""
        return prevalence_of(*self._test_labels)

    @property
    def chance_T(self) -> Float[np.ndarray, " t"]:
        """The expected AP of a random ranking of the test images, see `expected_ap`;
        NaN if none shows the trait."""
        return chance_of(*self._test_labels)

    @property
    def _test_labels(self) -> tuple[np.ndarray, np.ndarray]:
        return self.labels_NT[~self.is_train_N], self.known_NT[~self.is_train_N]


def read_trait_split(splits: Path, traits: Path) -> TraitSplit:
    """Read splits and traits of the same images.

    Args:
        splits: the CSV file with the splits.
        traits: the NPZ file that says which image shows which trait.

    Raises:
        ValueError: they are of other images, or constant scores would look good.
    """
    listed = read_splits(splits)
    image_ids = listed["image_id"].tolist()
    labels = TraitLabels.load(traits)
    check_same_images(labels.image_ids, str(traits), image_ids, str(splits))
    tables, names = (labels.labels_NT, labels.known_NT), labels.trait_names
    check_labels(labels, listed["split"].tolist())
    is_train_N = (listed["split"] == "train").to_numpy()
    return TraitSplit(image_ids, names, *tables, is_train_N)
