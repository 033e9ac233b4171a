"""k-means: prototypes at the centres of clusters of patches. M counts the patches."""

from concurrent.futures import Executor
from dataclasses import dataclass

import faiss
import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vitproto.progress import progress_bar
from vitproto.threads import one_core_each

CHUNK = 2048
"""Patches whose nearest centres one core finds in one go. They are always the same
ones, so no number of threads can change a centre."""

CENTRES = 64
"""Centres that one core moves in one go."""


@dataclass(frozen=True)
class KMeans:
    """The settings of k-means."""

    n_sample: int
    """Patches to learn from, sampled uniformly over all patches of all images."""
    n_iters: int
    """Rounds of assigning patches and moving centres, at most."""


def fit(
    x_MD: Float32[Tensor, "m d"], n_prototypes: int, n_iters: int
) -> Float32[Tensor, "k d"]:
    """Where are the centres of the clusters of these patches?

    Lloyd's algorithm, from the first patches on; it ends early once no patch changes
    its centre. A centre that is nearest to no patch moves to a patch that is farthest
    from its own. faiss finds the nearest centres; its own loop is not used, since it
    leaves the order of sums to its threads.

    Args:
        x_MD: patches in random order.
        n_prototypes: how many centres.
        n_iters: rounds, at most.

    Raises:
        ValueError: there are fewer patches than centres.
    """
    n_sample = len(x_MD)
    if n_prototypes > n_sample:
        raise ValueError(
            f"k-means needs at least one patch per prototype, got {n_sample} patches "
            f"for {n_prototypes} prototypes: raise methods: kmeans: n_sample, or lower "
            "n_prototypes in runs"
        )
    centres_KD = x_MD[:n_prototypes].clone()
    before_M = None
    with one_core_each() as workers, progress_bar(n_iters, "rounds") as progress:
        for _ in range(n_iters):
            nearest_M, squared_M = _nearest(x_MD.numpy(), centres_KD.numpy(), workers)
            if before_M is not None and (nearest_M == before_M).all():
                break
            centres_KD = _moved(x_MD, nearest_M, squared_M, n_prototypes, workers)
            before_M = nearest_M
            progress.set_postfix(mean_squared_distance=f"{squared_M.mean():.4g}")
            progress.update()
    return centres_KD


def _nearest(
    x_MD: Float32[np.ndarray, "m d"],
    centres_KD: Float32[np.ndarray, "k d"],
    workers: Executor,
) -> tuple[Int64[np.ndarray, "m"], Float32[np.ndarray, "m"]]:
    """The nearest centre of each patch, and the squared distance to it."""
    index = faiss.IndexFlatL2(centres_KD.shape[1])
    index.add(centres_KD)

    def search(i_first: int) -> tuple[np.ndarray, np.ndarray]:
        faiss.omp_set_num_threads(1)  # of this worker
        return index.search(x_MD[i_first : i_first + CHUNK], 1)

    found = list(workers.map(search, range(0, len(x_MD), CHUNK)))
    squared_M = np.concatenate([squared_B1[:, 0] for squared_B1, _ in found])
    return np.concatenate([nearest_B1[:, 0] for _, nearest_B1 in found]), squared_M


def _moved(
    x_MD: Float32[Tensor, "m d"],
    nearest_M: Int64[np.ndarray, "m"],
    squared_M: Float32[np.ndarray, "m"],
    n_prototypes: int,
    workers: Executor,
) -> Float32[Tensor, "k d"]:
    """The mean of each centre's patches."""
    order_M = np.argsort(nearest_M, kind="stable")
    ends_K = np.cumsum(np.bincount(nearest_M, minlength=n_prototypes))
    rows_of = np.split(order_M, ends_K[:-1])

    def means(i_first: int) -> Tensor:
        clusters = rows_of[i_first : i_first + CENTRES]
        return torch.stack([_mean(x_MD, rows) for rows in clusters])

    centres_KD = torch.cat(list(workers.map(means, range(0, n_prototypes, CENTRES))))
    empty = np.flatnonzero([len(rows) == 0 for rows in rows_of])
    farthest = np.argsort(-squared_M, kind="stable")[: len(empty)]
    centres_KD[empty] = x_MD[farthest]
    return centres_KD


def _mean(x_MD: Tensor, rows: np.ndarray) -> Tensor:
    """The mean of some rows, without a copy of them all; zeros for none."""
    sum_D = torch.zeros(x_MD.shape[1], dtype=torch.float64)
    for some in torch.from_numpy(rows).split(CHUNK):
        sum_D += x_MD[some].sum(0, dtype=torch.float64)
    return (sum_D / max(1, len(rows))).float()
