"""Run an encoder on a shard of a data set, and record activations of all patches."""

import logging
from pathlib import Path

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.record import RecordingJob, RecordingSettings, record
from vitproto.activations.sharding import shard_range
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.core.device import pick_device
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
    recorded: RecordingSettings,
    job: RecordingJob,
    cfg: EncoderSettings,
) -> None:
    """Run an encoder on a shard of a data set, and record activations of all patches.

    Args:
        root: The folder of the data set.
        images: The CSV file that lists its images.
        shard: The HDF5 file to write; `h5ls -v` shows how it was made.
        dataset: The name of the data set in the configuration.
        i_shard: The number of the shard, from 0.
        n_shards: The number of shards of the data set.
        recorded: Which activations are recorded, and in which types.
        job: Where the encoder runs, and how many images at a time.
        cfg: The encoder.
    """
    check_root(root, dataset)
    device, layers = pick_device(job.device), recorded.layers
    encoder = load_encoder(cfg, recorded.compute_dtype, layers).to(device)
    encoder = encoder.reading(recorded.grey_range, job.most_pixels)
    shape = LayerShape(encoder.n_patches, encoder.width, encoder.n_prefix > 0)
    shapes = dict.fromkeys(layers, shape)
    listed = read_image_list(images)
    image_ids = listed["image_id"].tolist()
    mine = shard_range(len(listed), i_shard, n_shards)
    paths = [root / path for path in listed["path"].iloc[mine]]
    attributes = {
        "dataset": dataset,
        **encoder.attributes(),
        "computed_in": encoder.computed_in(device),
        "code": fingerprint("record_activations"),
    }
    logging.info(
        "%s, images %d to %d of %d: layers %s of %s on %s",
        *(dataset, mine.start, mine.stop - 1, len(listed)),
        *(list(layers), cfg.model, device),
    )
    with (
        write_shard(
            *(shard, image_ids, shapes, recorded.dtype, attributes),
            i_shard=i_shard,
            n_shards=n_shards,
        ) as writer,
        progress_bar(len(mine), "images") as progress,
    ):
        record(paths, encoder, layers, device, writer, progress, job)
    n_patches = len(mine) * encoder.n_patches * len(layers)
    speed = n_patches / progress.format_dict["elapsed"]
    size = shard.stat().st_size / 1e9
    logging.info("%s: %.2f GB, %s patches/s", shard, size, f"{speed:,.0f}")


if __name__ == "__main__":
    run(record_activations)
