"""Open the training images of a data set, to which methods are fitted."""

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

    Prototypes must not be fitted to test images, even if they are tested on the same
    data set.

    Args:
        shards: all shards of the data set, in any order.
        layer: the block, counted from 0.
        splits: the CSV file with the splits of the data set's images.

    Returns:
        The training images, in the order of the shards. If there are other images, the
        attributes identify the split.

    Raises:
        ValueError: shards and splits list different images, no image is for training,
            or see `Activations.open`.
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
            f"{splits} lists no training image to fit to: write another fit_dataset"
        )
    train = acts.only(i_train_N)
    train.attributes |= {
        "split": "train",
        "split_ids_sha256": image_ids_digest(train.image_ids),
    }
    return train
