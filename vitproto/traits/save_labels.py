"""Check the trait labels of a data set before anything is made of them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vitproto.data.image_list import check_same_images, read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.traits.guard import check_labels
from vitproto.traits.subsets import subset_sizes


def save_labels(
    labels: TraitLabels,
    source: str,
    splits: Path,
    traits: Path,
    dataset: str,
    n_train: Sequence[int | Literal["all"]],
) -> None:
    """Write labels if they are of the listed images and can tell prototypes apart.

    Args:
        labels: which image shows which trait.
        source: what they were read from, for messages.
        splits: the list of splits of the same images.
        traits: the NPZ file to write.
        dataset: the name of the data set, for the log.
        n_train: the numbers of training images on which prototypes will be chosen.

    Raises:
        ValueError: the images differ, constant scores would look good, or the training
            split has fewer images than `n_train` says.
    """
    listed = read_splits(splits)
    image_ids, split_N = listed["image_id"].tolist(), listed["split"].tolist()
    check_same_images(labels.image_ids, source, image_ids, str(splits))
    # Here, since it costs nothing to stop before the first GPU hour.
    check_labels(labels, split_N)
    subset_sizes(n_train, split_N.count("train"))
    labels.save(traits)
    logging.info(
        "%s: %s images x %d traits, %.1f %% of the cells are positive, %.1f %% unknown",
        dataset,
        f"{len(labels.image_ids):,}",
        len(labels.trait_names),
        100 * labels.labels_NT.mean(),
        100 * (~labels.known_NT).mean(),
    )
