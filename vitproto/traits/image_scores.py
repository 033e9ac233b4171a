"""How strongly is each prototype present in an image? As in its best patch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.prototypes.scorer import DotProduct, Scorer

TILE = 2048
"""Prototypes scored at a time on a CPU: with 256 patches 2 MB of scores, which the
maximum still finds in the cache."""

GPU_SCORES = 2**26
"""Patch scores that a GPU holds at a time: 256 MB."""


def score_blocks(
    activations: Activations, scorers: Sequence[Scorer], device: torch.device
) -> Iterator[tuple[int, list[Float[Tensor, "b k"]]]]:
    """Score all images, in order, with several scorers in one pass over the data.

    Yields:
        The index of a block's first image, and its scores by each scorer, on the CPU.
    """
    on_device = [scorer.to(device) for scorer in scorers]
    with one_core_each() as workers:
        n_images = max(16, 2 * torch.get_num_threads())
        for i_first, acts_BPD in activations.blocks(n_images):
            acts_BPD = acts_BPD.to(device)
            scores = score_block(acts_BPD, on_device, workers)
            yield i_first, [scores_BK.cpu() for scores_BK in scores]


def score_block(
    acts_BPD: Float[Tensor, "b p d"], scorers: Sequence[Scorer], workers: Executor
) -> list[Float[Tensor, "b k"]]:
    """Score some images with several scorers.

    Args:
        acts_BPD: on the scorers' device.
        scorers: one or more.
        workers: of `one_core_each`. On a CPU each image is one worker's: the bits do
            not depend on the number of cores, and no core waits for another.
    """
    if acts_BPD.device.type != "cpu":
        return [image_scores(acts_BPD, scorer) for scorer in scorers]

    def score_one(acts_1PD: Tensor) -> list[Tensor]:
        return [image_scores(acts_1PD, scorer) for scorer in scorers]

    per_image = list(workers.map(score_one, acts_BPD.split(1)))
    return [torch.cat(scores) for scores in zip(*per_image, strict=True)]


@contextmanager
def one_core_each() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch would use for one operation, with one core for each."""
    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as workers:
            yield workers
    finally:
        # torch keeps the last number set, in whatever thread, for threads to come.
        torch.set_num_threads(n_threads)


@torch.inference_mode()
def image_scores(
    acts_BPD: Float[Tensor, "b p d"], scorer: Scorer
) -> Float[Tensor, "b k"]:
    """How strongly is each prototype present in each image?

    The maximum, over the patches of an image, of the prototype's score.

    On a CPU the scores of an image have the same bits whatever block it comes in,
    because its patches alone pass through each matrix product: which bits come out
    may depend on the number of rows. A GPU takes as many images as its memory allows.
    """
    n_images, n_patches, _ = acts_BPD.shape
    if acts_BPD.device.type == "cpu" and isinstance(scorer, DotProduct):
        return _largest_products(acts_BPD, scorer.directions_KD)
    n_at_once = 1
    if acts_BPD.device.type != "cpu":
        n_at_once = max(1, GPU_SCORES // (n_patches * scorer.n_prototypes))
    scores_BK = torch.empty(n_images, scorer.n_prototypes, device=acts_BPD.device)
    for part_BPD, part_BK in zip(
        acts_BPD.split(n_at_once), scores_BK.split(n_at_once), strict=True
    ):
        scores_MK = scorer(part_BPD.flatten(0, 1))
        torch.amax(scores_MK.unflatten(0, (-1, n_patches)), dim=1, out=part_BK)
    return scores_BK


def _largest_products(
    acts_BPD: Float[Tensor, "b p d"], directions_KD: Float[Tensor, "k d"]
) -> Float[Tensor, "b k"]:
    """The largest dot product of each direction with the patches of each image."""
    n_images, n_patches, _ = acts_BPD.shape
    scores_BK = torch.empty(n_images, len(directions_KD))
    tile_KP = torch.empty(min(TILE, len(directions_KD)), n_patches)
    for acts_PD, scores_K in zip(acts_BPD, scores_BK, strict=True):
        for some_KD, largest_K in zip(
            directions_KD.split(TILE), scores_K.split(TILE), strict=True
        ):
            products_KP = tile_KP[: len(some_KD)]
            torch.mm(some_KD, acts_PD.T, out=products_KP)
            torch.amax(products_KP, dim=1, out=largest_K)
    return scores_BK
