"""Pool the activations of every image over its patches."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.traits.pooled_file import PooledLayer, create_pooled
from vitproto.traits.pooling import pool_blocks


def pool_activations(
    shards: tuple[Path, ...], pooled: Path, *, layer: PooledLayer
) -> None:
    """Write the maximum and the mean of each dimension over the patches of an image.

    Args:
        shards: All shards of the activations of the images to pool.
        pooled: The HDF5 file to write: `image_ids`, `max_ND` and `mean_ND`.
        layer: Whose activations they are.
    """
    acts = Activations.open(shards, layer.layer)
    code = fingerprint("pool_activations")
    with (
        create_pooled(pooled, layer, acts.image_ids, acts.width, code) as tables,
        progress_bar(acts.n_images, "images") as progress,
    ):
        for i_first, block in pool_blocks(acts):
            for table, values_BD in zip(tables, block, strict=True):
                table[i_first : i_first + len(values_BD)] = values_BD.numpy()
            progress.update(len(block.max_BD))
    seconds = progress.format_dict["elapsed"]
    logging.info("%s: %.0f images/s", pooled, acts.n_images / seconds)


if __name__ == "__main__":
    run(pool_activations)
