"""Record the activations of image files in a shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

from vitproto.activations.ahead import ahead
from vitproto.activations.encoder import Encoder
from vitproto.activations.image_file import GreyRange
from vitproto.activations.recording import encode_files
from vitproto.activations.shards import ShardWriter
from vitproto.core.files import sha256_of


@dataclass(frozen=True)
class RecordingSettings:
    """Which activations are recorded, and in which types."""

    layers: tuple[int, ...]
    """Which blocks, counted from 0; all in one pass."""
    dtype: Literal["float16", "float32"]
    """The type in which activations are stored. float16 halves the file and is refused
    where a value would overflow."""
    compute_dtype: Literal["float32", "bfloat16"]
    """The type in which a GPU computes; a CPU always computes in float32."""
    grey_range: GreyRange
    """How grey images of more than 8 bits are scaled: type (16 bits from 0 to 65,535,
    floating-point from 0 to 1), or file (from the lowest to the highest value of each
    image)."""


@dataclass(frozen=True)
class RecordingJob:
    """Where an encoder runs, and how many images at a time."""

    device: str
    """The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one."""
    batch_size: int
    """Images in one pass on a GPU; on a CPU they pass one by one."""
    n_workers: int
    """Threads that decode images, and on a CPU encode them too."""
    most_pixels: int
    """An image with more pixels is refused."""


def record(
    paths: Sequence[Path],
    encoder: Encoder,
    layers: Sequence[int],
    device: torch.device,
    writer: ShardWriter,
    progress: tqdm,
    job: RecordingJob,
) -> None:
    """Encode image files, and write their activations and digests to a shard.

    Args:
        paths: image files.
        encoder: the encoder, on `device`.
        layers: which blocks, counted from 0.
        device: where the encoder computes.
        writer: the open shard.
        progress: counts the images.
        job: how many images at a time.

    Raises:
        ValueError: a file cannot be read, or a value is too large for the type that it
            is stored in.
    """
    # Each file is read a second time, from memory where there is room.
    hashes = (partial(sha256_of, path) for path in paths)
    hashed = ahead(hashes, n_threads=1, n_ahead=2 * job.batch_size)
    digests: list[bytes] = []
    how = {"batch_size": job.batch_size, "n_workers": job.n_workers}
    for i_first, acts in encode_files(paths, encoder, layers, device, **how):
        for layer, (patches_BPD, cls_BD) in acts.items():
            writer.write(i_first, layer, patches_BPD, cls_BD)
        digests += islice(hashed, len(patches_BPD))
        progress.update(len(patches_BPD))
    writer.write_image_digests(digests)
