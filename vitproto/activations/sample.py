"""Sample patches into a file, for fits that read them several times."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Integer
from torch import Tensor

from vitproto.activations.ahead import ahead
from vitproto.activations.stream import Activations, draw_distinct, widened
from vitproto.core.progress import progress_bar

PIECE = 16_384
"""Patches copied at a time: 64 MB at a width of 1,024."""


class PatchSample:
    """A file of patches in random order, which need not fit into memory.

    Attributes:
        n_patches: M, the number of patches.
        width: D, the width of the encoder.
    """

    def __init__(self, descriptor: int, n_patches: int, width: int, dtype: np.dtype):
        """See `sampled`."""
        self.n_patches, self.width = n_patches, width
        self._descriptor, self._dtype = descriptor, dtype

    def chunks(self, n_patches: int) -> Iterator[Float32[Tensor, "b d"]]:
        """Read all patches in order, `n_patches` at a time; the last may be fewer.

        The next chunk is read in the background: three are in memory at most.
        """
        firsts = range(0, self.n_patches, n_patches)
        reads = (partial(self.read, i, n_patches) for i in firsts)
        yield from ahead(reads, n_threads=1, n_ahead=1)

    def read(self, i_first: int, n_patches: int) -> Float32[Tensor, "b d"]:
        """Read `n_patches` patches from `i_first` on, or fewer at the end."""
        n_patches = min(n_patches, self.n_patches - i_first)
        raw_BD = np.empty((n_patches, self.width), self._dtype)
        bytes_left = memoryview(raw_BD.reshape(-1).view(np.uint8))
        offset = i_first * self.width * self._dtype.itemsize
        while bytes_left:
            n_read = os.preadv(self._descriptor, [bytes_left], offset)
            assert n_read > 0, "nobody else has this file"
            bytes_left = bytes_left[n_read:]
            offset += n_read
        return torch.from_numpy(widened(raw_BD))

    def rows(self, i_M: Integer[np.ndarray, " m"]) -> Float32[Tensor, "m d"]:
        """Read a few patches, in the order listed."""
        rows = [self.read(i, 1) for i in i_M.tolist()]
        return torch.cat(rows) if rows else torch.empty(0, self.width)


@contextmanager
def sampled(
    activations: Activations, n_patches: int, seed: int, folder: Path
) -> Iterator[PatchSample]:
    """Sample patches into a file: the same ones as `Activations.sample_patches`.

    Args:
        activations: the activations to sample from.
        n_patches: the number of patches.
        seed: determines the sample.
        folder: for the file, which takes as much space as the patches take in shards.
            It has no name, and is deleted when the block ends or the process is killed.

    Raises:
        ValueError: there are fewer patches.
    """
    i_M = draw_distinct(activations.n_images * activations.n_patches, n_patches, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        with progress_bar(n_patches, "patches sampled") as progress:
            for i_first in range(0, n_patches, PIECE):
                i_image_B, i_patch_B = np.divmod(
                    i_M[i_first : i_first + PIECE], activations.n_patches
                )
                raw_BD = np.empty(
                    (len(i_image_B), activations.width), activations.dtype
                )
                ones_B = np.ones_like(i_image_B)
                activations.read_runs(i_image_B, i_patch_B, ones_B, raw_BD)
                file.write(raw_BD.data)
                progress.update(len(raw_BD))
        file.flush()
        yield PatchSample(
            file.fileno(), n_patches, activations.width, activations.dtype
        )
