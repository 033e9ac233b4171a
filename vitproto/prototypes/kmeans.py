"""k-means: prototypes are the centres of clusters of patches.

M patches of the sample, L candidates for the next initial centre.
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
"""Patches that one core assigns at a time. The pieces are always the same, so the
number of threads does not change the centres."""

START_AT_LEAST, START_PER_CENTRE = 8192, 10
"""Number of patches from which initial centres are drawn: the larger of the first, and
the second times the number of centres."""


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
    """Find centres by greedy k-means++ and Lloyd's algorithm.

    Args:
        sample: patches in random order.
        n_prototypes: the number of centres.
        n_iters: maximum number of rounds of Lloyd's algorithm.
        seed: determines the initial centres.

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
    """Choose patches that lie far from each other, as initial centres.

    Greedy k-means++ (Arthur and Vassilvitskii, 2007): a few patches are drawn with
    probability proportional to the squared distance to the nearest centre so far, and
    the one that reduces the sum of these distances most becomes the next centre.
    Lloyd's algorithm cannot move a centre between distant clusters, so each cluster
    needs an initial centre; random patches would miss some.

    Each centre takes one pass over the patches. `fit` passes ten patches per centre
    instead of all: they miss a cluster of average size once in 20,000 times, and 8,192
    centres then take about as long as one or two rounds of Lloyd's algorithm on a
    million patches. k-means|| (Bahmani et al., 2012) would take several passes over all
    patches with twice as many candidates as centres: as long as ten rounds.

    Args:
        x_MD: at least as many patches as centres, in random order.
        n_prototypes: the number of centres.
        seed: determines which patches are drawn.
    """
    rng = np.random.default_rng([seed, 3])
    n_tried = 2 + int(np.log(n_prototypes))
    pieces = x_MD.split(PIECE)

    def squares(piece_BD: Tensor) -> Tensor:
        return piece_BD.square().sum(1)

    def nearer(i_piece: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances with each candidate as a further centre, and their sums."""
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
            # NumPy uses this thread only; torch would use all cores.
            tried_LD = torch.from_numpy(x_MD.numpy()[tried_L])
            distances = list(workers.map(nearer, range(len(pieces))))
            best = int(np.argmin(sum(sum_L for _, sum_L in distances)))
            squared_M = np.concatenate(
                [squared_LB[best] for squared_LB, _ in distances]
            )
            squared_M[tried_L[best]] = 0  # but for rounding
            chosen.append(int(tried_L[best]))
            progress.update()
            if len(chosen) == n_prototypes:
                return torch.from_numpy(x_MD.numpy()[chosen])
            below_M = np.cumsum(squared_M, dtype=np.float64)
            drawn_L = np.searchsorted(
                below_M, below_M[-1] * rng.random(n_tried), side="right"
            )
            # If every patch equals a centre, nothing is below: take the last patch.
            tried_L = np.minimum(drawn_L, len(x_MD) - 1)


def lloyd(
    sample: PatchSample, start_KD: Float32[Tensor, "k d"], n_iters: int
) -> Float32[Tensor, "k d"]:
    """Lloyd's algorithm: assign patches to the nearest centre, move centres to means.

    It stops early once no patch changes its centre. A centre without patches moves to
    the patch that is farthest from its own centre. faiss finds the nearest centres. Its
    own k-means is not used: it needs all patches in memory, and the order of its sums
    depends on threads.

    Args:
        sample: the patches.
        start_KD: the initial centres.
        n_iters: maximum number of rounds.
    """
    n_patches = sample.n_patches
    centres_KD = start_KD.numpy().copy()
    before_M = np.full(n_patches, -1, np.int32)
    with (
        one_core_each() as workers,
        progress_bar(n_patches * n_iters, "patches assigned") as progress,
    ):
        for _ in range(n_iters):
            assigned = _assign(sample, centres_KD, workers, progress)
            if (assigned.nearest_M == before_M).all():
                break
            n_K = np.bincount(assigned.nearest_M, minlength=len(centres_KD))
            centres_KD = (assigned.sums_KD / np.maximum(n_K, 1)[:, None]).astype("f4")
            empty = np.flatnonzero(n_K == 0)
            farthest = np.argsort(-assigned.squared_M, kind="stable")[: len(empty)]
            centres_KD[empty] = sample.rows(farthest).numpy()
            before_M = assigned.nearest_M
            progress.set_postfix(
                mean_squared_distance=f"{assigned.squared_M.mean():.4g}", refresh=False
            )
    return torch.from_numpy(centres_KD)


@dataclass(frozen=True)
class _Assigned:
    """The nearest centre of each patch."""

    nearest_M: Int32[np.ndarray, " m"]
    squared_M: Float32[np.ndarray, " m"]
    """The squared distance to it."""
    sums_KD: Float64[np.ndarray, "k d"]
    """The sum of the patches of each centre, added in order."""


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
        # This thread adds while the workers search.
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
    """Add each row to the sum of its centre, in order."""
    for b in range(len(x_BD)):
        for d in range(x_BD.shape[1]):
            sums_KD[k_B[b], d] += x_BD[b, d]
