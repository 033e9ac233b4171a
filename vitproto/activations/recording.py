"""Compute the activations of image files, in order, with all cores or a GPU."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vitproto.activations.ahead import ahead
from vitproto.activations.encoder import Encoder, LayerActivations


def encode_files(
    paths: Sequence[Path],
    encoder: Encoder,
    layers: Sequence[int],
    device: torch.device,
    *,
    batch_size: int,
    n_workers: int,
) -> Iterator[tuple[int, dict[int, LayerActivations]]]:
    """Compute the outputs of an encoder's blocks for image files.

    On a GPU, images are decoded ahead and encoded in batches. On a CPU, each thread
    decodes and encodes whole images by itself. So cores do not wait for each other, and
    the number of threads does not change a bit: the bits of a matrix product can depend
    on its rows and threads.

    Args:
        paths: image files.
        encoder: on `device`.
        layers: the blocks, counted from 0.
        device: where to encode.
        batch_size: images in a batch on a GPU.
        n_workers: threads.

    Yields:
        The index of the first image of a batch, and its activations by layer. At
        most two batches wait in memory.

    Raises:
        ValueError: a file cannot be read.
    """
    if device.type == "cpu":
        yield from _one_by_one(paths, encoder, layers, n_workers)
        return
    reads = (partial(encoder.preprocessing.read, path) for path in paths)
    images = ahead(reads, n_threads=n_workers, n_ahead=2 * batch_size)
    for i_first in range(0, len(paths), batch_size):
        pixels_BCHW = torch.from_numpy(np.stack(list(islice(images, batch_size))))
        yield i_first, encoder.encode(pixels_BCHW.to(device), layers)


def _one_by_one(
    paths: Sequence[Path], encoder: Encoder, layers: Sequence[int], n_workers: int
) -> Iterator[tuple[int, dict[int, LayerActivations]]]:
    def encode(path: Path) -> dict[int, LayerActivations]:
        pixels_CHW = torch.from_numpy(encoder.preprocessing.read(path))
        return encoder.encode(pixels_CHW[None], layers)

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        calls = (partial(encode, path) for path in paths)
        yield from enumerate(ahead(calls, n_threads=n_workers, n_ahead=2 * n_workers))
    finally:
        torch.set_num_threads(n_threads)
