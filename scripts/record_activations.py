"""Run an encoder over a shard of a data set and keep what its patches say."""

import logging
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from vitproto.activations.ahead import ahead
from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.recording import encode_files
from vitproto.activations.sharding import shard_range
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.core.device import pick_device
from vitproto.core.files import sha256_of
from vitproto.core.progress import progress_bar
from vitproto.data.data_root import check_root
from vitproto.data.image_list import read_image_list
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run


def record_activations(
    root: Path,
    images: Path,
    shard: Path,
    *,
    dataset: str,
    i_shard: int,
    n_shards: int,
    layers: tuple[int, ...],
    dtype: Literal["float16", "float32"],
    compute_dtype: Literal["float32", "bfloat16"],
    device: str,
    batch_size: int,
    n_workers: int,
    cfg: EncoderSettings,
) -> None:
    """Run an encoder over a shard of a data set and keep what its patches say.

    Args:
        root: the folder of the data set.
        images: the CSV file that lists its images.
        shard: the HDF5 file to write; `h5ls -v` shows how it was made.
        dataset: its name in the configuration.
        i_shard: which shard, counted from 0.
        n_shards: how many shards the data set has.
        layers: which blocks, counted from 0; all in one pass.
        dtype: how activations are stored. float16 halves the file and is refused
            where a value would overflow.
        compute_dtype: how a GPU computes; a CPU always computes in float32.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
        batch_size: images in one pass on a GPU; on a CPU they pass one by one.
        n_workers: threads that decode images, and on a CPU encode them too.
    """
    check_root(root, dataset)
    torch_device = pick_device(device)
    encoder = load_encoder(cfg, compute_dtype, layers).to(torch_device)
    shape = LayerShape(encoder.n_patches, encoder.width, encoder.n_prefix > 0)
    listed = read_image_list(images)
    mine = shard_range(len(listed), i_shard, n_shards)
    paths = [root / path for path in listed["path"].iloc[mine]]
    attributes = {
        "dataset": dataset,
        **encoder.attributes(),
        "computed_in": encoder.computed_in(torch_device),
        "code": fingerprint("record_activations"),
    }
    logging.info(
        "%s, images %d to %d of %d: layers %s of %s on %s",
        *(dataset, mine.start, mine.stop - 1, len(listed)),
        *(list(layers), cfg.model, torch_device),
    )
    with (
        write_shard(
            shard,
            listed["image_id"].tolist(),
            dict.fromkeys(layers, shape),
            dtype,
            attributes,
            i_shard=i_shard,
            n_shards=n_shards,
        ) as writer,
        progress_bar(len(mine), "images") as progress,
    ):
        # Each file is read a second time, from memory where there is room.
        hashes = (partial(sha256_of, path) for path in paths)
        hashed = ahead(hashes, n_threads=1, n_ahead=2 * batch_size)
        digests: list[bytes] = []
        for i_first, acts in encode_files(
            paths,
            encoder,
            layers,
            torch_device,
            batch_size=batch_size,
            n_workers=n_workers,
        ):
            for layer, (patches_BPD, cls_BD) in acts.items():
                writer.write(i_first, layer, patches_BPD, cls_BD)
            digests += islice(hashed, len(patches_BPD))
            progress.update(len(patches_BPD))
        writer.write_image_digests(digests)
    seconds = progress.format_dict["elapsed"]
    logging.info(
        "%s: %.2f GB, %s patches/s",
        *(shard, shard.stat().st_size / 1e9),
        f"{len(mine) * encoder.n_patches * len(layers) / seconds:,.0f}",
    )


if __name__ == "__main__":
    run(record_activations)
