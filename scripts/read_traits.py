"""Read the trait labels of CUB-200-2011."""

import logging
from pathlib import Path

from vitproto.data.cub200_traits import read_traits as read_cub200
from vitproto.data.data_root import check_root
from vitproto.data.image_list import check_same_images, read_splits
from vitproto.launch.cli import run
from vitproto.traits.guard import check_labels


def read_traits(root: Path, splits: Path, traits: Path, *, dataset: str) -> None:
    """Write which image shows which of the 312 attributes.

    An image shows an attribute if the labels say that it is present, with certainty 3
    (probably) or 4 (definitely). Labels for which constant scores would look good are
    refused.

    Args:
        root: the folder CUB_200_2011, or the one above it, in the official layout or as
            image folders (train/, test/, metadata/).
        splits: the CSV file with the splits of its images, of list_cub200.py.
        traits: the NPZ file to write: image_ids, trait_names and labels_NT.
        dataset: the name of the data set in the configuration, for messages.
    """
    check_root(root, dataset)
    labels = read_cub200(root)
    listed = read_splits(splits)
    image_ids, split_N = listed["image_id"].tolist(), listed["split"].tolist()
    check_same_images(labels.image_ids, str(root), image_ids, str(splits))
    # Here, since it costs nothing to stop before the first GPU hour.
    check_labels(labels.labels_NT, labels.trait_names, split_N)
    labels.save(traits)
    logging.info(
        "%s: %s images x %d traits, %.1f %% of the cells are positive",
        dataset,
        f"{len(labels.image_ids):,}",
        len(labels.trait_names),
        100 * labels.labels_NT.mean(),
    )


if __name__ == "__main__":
    run(read_traits)
