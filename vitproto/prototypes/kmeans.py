"""k-means: prototypes at the centres of clusters of patches.

M counts the patches of the sample, L the candidates for a centre to start from.
"""

import typing
from concurrent.futures import Executor
from dataclasses import dataclass

import faiss
import numba
import numpy as np
import torch
from jaxtyping import Float32, Float64, Int32
from torch import Tensor
from tqdm import tqdm

from vitproto.activations.sample import PatchSample
from vitproto.core.bounds import Count, check_bounds
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each

PIECE = 2048
"""Patches whose nearest centres one core finds in one go. They are always the same
ones, so no number of threads can change a centre."""

START_AT_LEAST, START_PER_CENTRE = 8192, 10
"""Patches among which centres start: so many, or so many per centre if that is more."""


@dataclass(frozen=True)
class KMeans:
    """The settings of k-means."""

    n_sample: Count
    """Patches to learn from, sampled uniformly over all patches of all images. While
    k-means runs, they lie on disk, as they were recorded; they need not fit in
    memory."""
    n_iters: Count
    """Most rounds of assigning patches and moving centres."""

    def __post_init__(self) -> None:
        check_bounds(self)


def fit(
    sample: PatchSample, n_prototypes: int, n_iters: int, seed: int
) -> Float32[Tensor, "k d"]:
    """Where are the centres of the clusters of these patches?

    Greedy k-means++ chooses where to start, Lloyd's algorithm goes on from there.

    Args:
        sample: patches in random order.
        n_prototypes: how many centres.
        n_iters: rounds of Lloyd's algorithm, at most.
        seed: decides the start.

    Raises:
        ValueError: there are fewer patches than centres.
    """
    if n_prototypes > sample.n_patches:
        raise ValueError(
            f"k-means needs at least one patch per prototype, got {sample.n_patches} "
            f"patches for {n_prototypes} prototypes: raise methods: kmeans: n_sample, "
            "or lower n_prototypes in runs"
        )
    n_start = max(START_AT_LEAST, START_PER_CENTRE * n_prototypes)
    start_KD = spread(sample.read(0, n_start), n_prototypes, seed)
    return lloyd(sample, start_KD, n_iters)


def spread(
    x_MD: Float32[Tensor, "m d"], n_prototypes: int, seed: int
) -> Float32[Tensor, "k d"]:
    """Choose patches that lie far from each other, as centres to start from.

    k-means++ (Arthur and Vassilvitskii, 2007) in its greedy form: a few patches are
    drawn with a probability that goes with the squared distance to the nearest centre
    so far, and the one that lowers the sum of these distances most becomes the next
    centre. Lloyd's algorithm cannot move a centre from one cluster to another far
    away, so each cluster needs a centre from the start, which random patches miss.

    Each centre takes a pass over the patches. `fit` gives ten per centre, not all:
    a cluster of average size is missed by them once in 20,000 times, and 8,192
    centres then take about as long as one or two rounds of Lloyd's algorithm over
    a million patches. k-means|| (Bahmani et al., 2012) would make a handful of passes
    over all patches, each with twice as many candidates as centres: ten rounds' worth.

    Args:
        x_MD: at least as many patches as centres, in random order.
        n_prototypes: how many centres.
        seed: decides which patches are drawn.
    """
    rng = np.random.default_rng([seed, 3])
    n_tried = 2 + int(np.log(n_prototypes))
    pieces = x_MD.split(PIECE)

    def squares(piece_BD: Tensor) -> Tensor:
        return piece_BD.square().sum(1)

    def nearer(i_piece: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances if each candidate became a centre, and their sums."""
        squared_LB = torch.addmm(
            square_of[i_piece], tried_LD, pieces[i_piece].T, alpha=-2
        )
        squared_LB.add_(tried_LD.square().sum(1, keepdim=True)).clamp_(min=0)
        a = i_piece * PIECE
        so_far_B = torch.from_numpy(squared_M[a : a + PIECE])
        squared_LB = torch.minimum(squared_LB, so_far_B)
        return squared_LB.numpy(), squared_LB.sum(1, dtype=torch.float64).numpy()

    chosen: list[int] = []
    squared_M = np.full(len(x_MD), np.inf, np.float32)
    tried_L = np.zeros(1, np.int64)  # the first of a random order
    with (
        one_core_each() as workers,
        progress_bar(n_prototypes, "centres started") as progress,
    ):
        square_of = list(workers.map(squares, pieces))
        while True:
            # NumPy works on this thread, torch would on all cores, which are taken.
            tried_LD = torch.from_numpy(x_MD.numpy()[tried_L])
            found = list(workers.map(nearer, range(len(pieces))))
            best = int(np.argmin(sum(sum_L for _, sum_L in found)))
            squared_M = np.concatenate([squared_LB[best] for squared_LB, _ in found])
            squared_M[tried_L[best]] = 0  # but for rounding
            chosen.append(int(tried_L[best]))
            progress.update()
            if len(chosen) == n_prototypes:
                return torch.from_numpy(x_MD.numpy()[chosen])
            below_M = np.cumsum(squared_M, dtype=np.float64)
            drawn_L = np.searchsorted(
                below_M, below_M[-1] * rng.random(n_tried), side="right"
            )
            # Where all patches lie on centres, any will do.
            tried_L = np.minimum(drawn_L, len(x_MD) - 1)


def lloyd(
    sample: PatchSample, start_KD: Float32[Tensor, "k d"], n_iters: int
) -> Float32[Tensor, "k d"]:
    """Move centres to the means of the patches that are nearest to them, in rounds.

    Ends early once no patch changes its centre. A centre that is nearest to no patch
    moves to a patch that is farthest from its own. faiss finds the nearest centres;
    its own loop is not used, since it wants all patches in memory and leaves the
    order of sums to its threads.

    Args:
        sample: the patches.
        start_KD: where centres are at first.
        n_iters: rounds, at most.
    """
    n_patches = sample.n_patches
    centres_KD = start_KD.numpy().copy()
    before_M = np.full(n_patches, -1, np.int32)
    with (
        one_core_each() as workers,
        progress_bar(n_patches * n_iters, "patches assigned") as progress,
    ):
        for _ in range(n_iters):
            found = _assign(sample, centres_KD, workers, progress)
            if (found.nearest_M == before_M).all():
                break
            n_K = np.bincount(found.nearest_M, minlength=len(centres_KD))
            centres_KD = (found.sums_KD / np.maximum(n_K, 1)[:, None]).astype("f4")
            empty = np.flatnonzero(n_K == 0)
            farthest = np.argsort(-found.squared_M, kind="stable")[: len(empty)]
            centres_KD[empty] = sample.rows(farthest).numpy()
            before_M = found.nearest_M
            progress.set_postfix(
                mean_squared_distance=f"{found.squared_M.mean():.4g}", refresh=False
            )
    return torch.from_numpy(centres_KD)


@dataclass(frozen=True)
class _Assigned:
    """Which centre is nearest to each patch."""

    nearest_M: Int32[np.ndarray, " m"]
    squared_M: Float32[np.ndarray, " m"]
    """The squared distance to it."""
    sums_KD: Float64[np.ndarray, "k d"]
    """The sum of each centre's patches, added in their order."""


def _assign(
    sample: PatchSample,
    centres_KD: Float32[np.ndarray, "k d"],
    workers: Executor,
    progress: tqdm,
) -> _Assigned:
    """Find the nearest centre of each patch, in one pass over the sample."""
    index = faiss.IndexFlatL2(sample.width)
    index.add(centres_KD)

    def search(piece_BD: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        faiss.omp_set_num_threads(1)  # of this worker
        x_BD = piece_BD.numpy()
        squared_B1, nearest_B1 = index.search(x_BD, 1)
        return x_BD, nearest_B1[:, 0], squared_B1[:, 0]

    nearest_M = np.empty(sample.n_patches, np.int32)
    squared_M = np.empty(sample.n_patches, np.float32)
    sums_KD = np.zeros(centres_KD.shape)
    i = 0
    for chunk_BD in sample.chunks(PIECE * 2 * torch.get_num_threads()):
        # This thread adds while the others search.
        for x_BD, nearest_B, squared_B in workers.map(search, chunk_BD.split(PIECE)):
            _add_rows(sums_KD, nearest_B, x_BD)
            nearest_M[i : i + len(x_BD)] = nearest_B
            squared_M[i : i + len(x_BD)] = squared_B
            i += len(x_BD)
            progress.update(len(x_BD))
    return _Assigned(nearest_M, squared_M, sums_KD)


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _add_rows(sums_KD, k_B, x_BD):
    """Add each row to the sum that it belongs to, one row after the other."""
    for b in range(len(x_BD)):
        for d in range(x_BD.shape[1]):
            sums_KD[k_B[b], d] += x_BD[b, d]
