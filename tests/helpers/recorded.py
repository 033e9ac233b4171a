"""Activations on disk, for tests that fit prototypes to them."""

import pandas as pd
import torch

from vitproto.activations.shards import LayerShape, write_shard
from vitproto.data.image_list import COLUMNS, write_splits
from vitproto.study.family import FittedFamily

LAYER = 2
IN_FAMILY = {"fit_dataset": "corpus", "encoder": "tiny", "method": "toy"}
TOY = FittedFamily(**IN_FAMILY, layer=LAYER)
"""The family whose prototypes are fitted to these activations."""


def write_shards(folder, x_NPD, n_shards=1, dtype="float32", **attributes):
    """Write one layer of a data set in so many shards; gives their paths."""
    n_images, n_patches, width = x_NPD.shape
    cuts = [i * n_images // n_shards for i in range(n_shards + 1)]
    paths = [folder / f"{i}-of-{n_shards}.h5" for i in range(n_shards)]
    for i_shard, path in enumerate(paths):
        with write_shard(
            path,
            [f"image{i}" for i in range(n_images)],
            {LAYER: LayerShape(n_patches, width, has_cls=False)},
            dtype,
            {"encoder": "tiny", **attributes},
            i_shard=i_shard,
            n_shards=n_shards,
        ) as shard:
            x_BPD = x_NPD[cuts[i_shard] : cuts[i_shard + 1]]
            shard.write(0, LAYER, torch.as_tensor(x_BPD), None)
    return tuple(paths)


def write_split_list(folder, splits):
    """Write the splits of these activations' images; gives the path."""
    rows = [(f"image{i}", f"{i}.jpg", split, "") for i, split in enumerate(splits)]
    images = pd.DataFrame(rows, columns=COLUMNS, dtype="str")
    write_splits(images, folder / "splits.csv")
    return folder / "splits.csv"


def with_threads(n_threads, call):
    """What a call returns when torch has so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        return call()
    finally:
        torch.set_num_threads(before)
