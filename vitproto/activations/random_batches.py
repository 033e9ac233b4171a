"""Batches of patches drawn from all over a data set, for training."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count, repeat
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, Integer
from torch import Tensor

from vitproto.activations.ahead import ahead
from vitproto.activations.stream import Activations, widen_into

RUN = 32
"""Neighbouring patches that are read together: about 100 kB, which takes a disk hardly
longer than one patch. Longer runs would mix less."""


class RandomBatches:
    """An endless iterator of shuffled batches of patches.

    Each epoch cuts the images into runs of up to 32 neighbouring patches, shuffles the
    runs of the whole data set, and distributes them among pools. A pool is read in the
    background while the previous one is used; its patches are shuffled and cut into
    batches. So every patch comes once per epoch, and a batch draws from about
    `n_mixed / 32` images, or from all if there are fewer.

    A batch depends only on the data, `batch_size`, `seed`, `n_mixed` and its number. To
    resume, start at `first_batch`: earlier batches are not read.

    Attributes:
        waited_s: seconds that the loop over the batches has waited for data.
    """

    def __init__(
        self,
        activations: Activations,
        *,
        batch_size: int,
        seed: int,
        n_mixed: int,
        first_batch: int,
        images: Integer[np.ndarray, " n"] | None = None,
    ):
        """Nothing is read before iteration.

        Args:
            activations: the activations to draw from.
            batch_size: B, patches per batch.
            seed: determines the order.
            n_mixed: patches in a pool. Memory holds two pools, as stored.
            first_batch: number of the first batch, from 0.
            images: the images to draw from; None for all.

        Raises:
            ValueError: a batch or a pool would be empty.
        """
        if batch_size < 1 or n_mixed < 1:
            raise ValueError(
                f"batch_size is {batch_size} and n_mixed is {n_mixed}: write 1 or more "
                "for both"
            )
        self.waited_s = 0.0
        self._activations = activations
        self._batch_size = batch_size
        self._seed = seed
        self._first_batch = first_batch
        self._image_N = np.arange(activations.n_images) if images is None else images
        runs_per_image = -(-activations.n_patches // RUN)
        edges = np.arange(runs_per_image + 1) * activations.n_patches // runs_per_image
        self._first_patch_R, self._n_patches_R = edges[:-1], np.diff(edges)
        n_runs = len(self._image_N) * runs_per_image
        self._n_total = len(self._image_N) * activations.n_patches
        n_pools = min(n_runs, -(-self._n_total // n_mixed))
        self._pool_edges = np.arange(n_pools + 1) * n_runs // n_pools

    def __iter__(self) -> Iterator[Float32[Tensor, "b d"]]:
        """Yield batches from `first_batch` on, and add to `waited_s`."""
        with closing(self._made_ahead(with_places=False)) as made:
            for batch in made:
                yield batch.x_BD

    def with_places(
        self,
    ) -> Iterator[tuple[Float32[Tensor, "b d"], Int64[Tensor, " b"]]]:
        """Yield the same batches, and the places of their patches in the data set.

        Patch p of image i has the place i × n_patches + p; images are counted over the
        whole data set, even if some are not drawn from. So the labels of a batch are
        `labels_NP.reshape(-1)[place_B]`.
        """
        with closing(self._made_ahead(with_places=True)) as made:
            for batch in made:
                yield batch.x_BD, batch.place_B

    def _made_ahead(self, *, with_places: bool) -> Iterator["_Batch"]:
        """Make batches in the background, and add to `waited_s`."""
        with closing(self._batches(with_places=with_places)) as batches:
            calls = repeat(partial(next, batches))
            made = ahead(calls, n_threads=1, n_ahead=2)
            with closing(made):
                while True:
                    start = time.perf_counter()
                    batch = next(made)
                    self.waited_s += time.perf_counter() - start
                    yield batch

    def _batches(self, *, with_places: bool) -> Iterator["_Batch"]:
        """Cut batches from the pools, one after the other."""
        batch, n_filled = self._empty_batch(with_places), 0
        with closing(self._pools(with_places=with_places)) as pools:
            for pool in pools:
                used = pool.n_skipped
                while used < len(pool.order_M):
                    rows = pool.order_M[used : used + self._batch_size - n_filled]
                    filled = slice(n_filled, n_filled + len(rows))
                    _take(pool.raw_MD, rows, batch.x_BD[filled].numpy())
                    if with_places:
                        batch.place_B[filled] = torch.from_numpy(pool.place_M[rows])
                    used, n_filled = used + len(rows), n_filled + len(rows)
                    if n_filled == self._batch_size:
                        yield batch
                        batch, n_filled = self._empty_batch(with_places), 0

    def _empty_batch(self, with_places: bool) -> "_Batch":
        x_BD = torch.empty(self._batch_size, self._activations.width)
        n_places = self._batch_size if with_places else 0
        return _Batch(x_BD, torch.empty(n_places, dtype=torch.int64))

    def _pools(self, *, with_places: bool) -> Iterator["_Pool"]:
        """Read pools alternately into two arrays, one pool ahead."""
        n_most = int(np.diff(self._pool_edges).max()) * int(self._n_patches_R.max())
        shape = (n_most, self._activations.width)
        memory = [np.empty(shape, self._activations.dtype) for _ in range(2)]
        reads = (
            partial(self._read_pool, plan, memory[i % 2], with_places=with_places)
            for i, plan in enumerate(self._plans())
        )
        # One call ahead: an array is overwritten only after its pool was used.
        return ahead(reads, n_threads=1, n_ahead=1)

    def _plans(self) -> Iterator["_Plan"]:
        """The runs of each pool, starting with the pool of the first batch."""
        n_skipped = self._first_batch * self._batch_size
        first_epoch, n_skipped = divmod(n_skipped, self._n_total)
        for epoch in count(first_epoch):
            rng = np.random.default_rng([self._seed, 1, epoch])
            n_runs = int(self._pool_edges[-1])
            # One number per 32 patches: 25 MB for 100 million patches.
            run_R = rng.permutation(n_runs)
            sizes_R = self._n_patches_R[run_R % len(self._n_patches_R)]
            n_before = np.concatenate([[0], np.cumsum(sizes_R)])[self._pool_edges]
            for i in range(len(self._pool_edges) - 1):
                if n_before[i + 1] > n_skipped:
                    a, b = self._pool_edges[i : i + 2]
                    skipped_here = max(0, n_skipped - int(n_before[i]))
                    yield _Plan(epoch, i, run_R[a:b], skipped_here)
            n_skipped = 0

    def _read_pool(
        self, plan: "_Plan", memory_MD: np.ndarray, *, with_places: bool
    ) -> "_Pool":
        i_R, k_R = np.divmod(plan.run_R, len(self._n_patches_R))
        n_patches_R = self._n_patches_R[k_R]
        n_rows = int(n_patches_R.sum())
        first_patch_R = self._first_patch_R[k_R]
        self._activations.read_runs(
            self._image_N[i_R], first_patch_R, n_patches_R, memory_MD
        )
        rng = np.random.default_rng([self._seed, 2, plan.epoch, plan.i_pool])
        order_M = rng.permutation(n_rows)
        place_M = np.empty(0, np.int64)
        if with_places:
            place_R = self._image_N[i_R] * self._activations.n_patches + first_patch_R
            # Rows of a run have consecutive places.
            start_R = np.cumsum(n_patches_R) - n_patches_R
            place_M = np.repeat(place_R - start_R, n_patches_R) + np.arange(n_rows)
        return _Pool(memory_MD[:n_rows], place_M, order_M, plan.n_skipped)


class _Batch(NamedTuple):
    """Patches, and where they lie, if that was asked for."""

    x_BD: Float32[Tensor, "b d"]
    place_B: Int64[Tensor, " p"]


@dataclass(frozen=True)
class _Plan:
    """The runs of one pool, and how many of its patches to skip."""

    epoch: int
    i_pool: int
    run_R: Integer[np.ndarray, " r"]
    n_skipped: int


@dataclass(frozen=True)
class _Pool:
    """Patches read together, and the order in which batches take them."""

    raw_MD: np.ndarray
    place_M: Int64[np.ndarray, " p"]
    """The place of each row in the data set; empty if not needed."""
    order_M: Integer[np.ndarray, " m"]
    n_skipped: int


def _take(raw_MD: np.ndarray, row_B: np.ndarray, batch_BD: np.ndarray) -> None:
    """Copy rows into the batch as float32, on the calling thread only."""
    if raw_MD.dtype == np.float32:
        # mode="clip" lets NumPy write directly into the batch.
        np.take(raw_MD, row_B, axis=0, out=batch_BD, mode="clip")
        return
    piece = max(1, 32_768 // raw_MD.shape[1])  # stays in cache until it is converted
    for i in range(0, len(row_B), piece):
        widen_into(raw_MD[row_B[i : i + piece]], batch_BD[i : i + piece])
