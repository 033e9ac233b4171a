"""The part of a data set that anything may be fitted to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitproto.activations.shards import image_ids_digest
from vitproto.activations.stream import Activations
from vitproto.data.image_list import check_same_images, read_splits


def open_training_images(
    shards: Sequence[Path], layer: int, splits: Path
) -> Activations:
    """Open one layer of a data set's training images.

    What is fitted must not have seen a test image, also where the images that it is
    tested on come from the same data set.

    Args:
        shards: all shards of the data set, in any order.
        layer: which block, counted from 0.
        splits: the CSV file that says which of its images are for training.

    Returns:
        Those images alone, in the order of the shards. Where others were left out, the
        attributes say which ones stayed, since the same images may be split otherwise.

    Raises:
        ValueError: the shards hold other images than the splits (see also
            `Activations.open`), or no image is for training.
    """
    acts = Activations.open(shards, layer)
    listed = read_splits(splits)
    listed_ids = listed["image_id"].tolist()
    check_same_images(acts.image_ids, str(shards[0]), listed_ids, str(splits))
    i_train_N = np.flatnonzero(listed["split"] == "train")
    if len(i_train_N) == acts.n_images:
        return acts
    if len(i_train_N) == 0:
        raise ValueError(
            f"{splits} lists no training image, so there is nothing to fit to: name "
            "another fit_dataset"
        )
    train = acts.only(i_train_N)
    train.attributes |= {
        "split": "train",
        "split_ids_sha256": image_ids_digest(train.image_ids),
    }
    return train
