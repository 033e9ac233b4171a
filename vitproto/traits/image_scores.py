"""Image scores: the maximum of a prototype's score over the patches of an image."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.core.threads import one_core_each
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.sae.kernels import select_largest
from vitproto.prototypes.scorer import (
    CentredDotProduct,
    DotProduct,
    NegativeDistance,
    Scorer,
)

GROUP = 8
"""Images in one matrix product on a CPU. The bits of a product may depend on its number
of rows, so groups are counted from the data set's first image: the number of shards or
threads does not change a score."""

TILE = 1024
"""Prototypes scored at a time on a CPU: with 256 patches, 8 MB of scores, which are
still in the cache when their maximum is taken."""

GPU_SCORES = 2**26
"""Patch scores in a GPU's memory at a time: 256 MB."""


def score_blocks(
    activations: Activations, scorers: Sequence[Scorer], device: torch.device
) -> Iterator[tuple[int, list[Float[Tensor, "b k"]]]]:
    """Score all images, in order, with several scorers in one pass over the data.

    Yields:
        The index of a block's first image, and its scores by each scorer, on the CPU.

    Raises:
        ValueError: a score is not finite.
    """
    on_device = [scorer.to(device) for scorer in scorers]
    with one_core_each() as workers:
        n_images = GROUP * 2 * torch.get_num_threads()
        for i_first, acts_BPD in activations.blocks(n_images):
            acts_BPD = acts_BPD.to(device)
            scores = score_block(acts_BPD, on_device, workers)
            scores = [scores_BK.cpu() for scores_BK in scores]
            for scores_BK in scores:
                _check_finite(scores_BK, activations, i_first)
            yield i_first, scores


def _check_finite(
    scores_BK: Float[Tensor, "b k"], activations: Activations, i_first: int
) -> None:
    """Refuse scores that overflow: their order says nothing any more."""
    # A sum is not finite if a value is not, and is ten times as fast as asking each.
    if math.isfinite(scores_BK.double().sum().item()):
        return
    is_bad_BK = ~scores_BK.isfinite()
    if not is_bad_BK.any():
        return
    i, k = is_bad_BK.nonzero()[0].tolist()
    raise ValueError(
        f"prototype {k} scores the image {activations.image_ids[i_first + i]!r} with "
        f"{scores_BK[i, k].item()}: the product with its activations is too large for "
        "32 bits. Scale the prototypes down, or record another layer"
    )


def score_block(
    acts_BPD: Float[Tensor, "b p d"], scorers: Sequence[Scorer], workers: Executor
) -> list[Float[Tensor, "b k"]]:
    """Score some images with several scorers.

    Args:
        acts_BPD: on the scorers' device. On a CPU, the first image's index in the
            data set must be a multiple of `GROUP`.
        scorers: one or more.
        workers: from `one_core_each`. On a CPU one worker scores a whole group, so the
            bits do not depend on the number of cores.
    """
    if acts_BPD.device.type != "cpu":
        return [image_scores(acts_BPD, scorer) for scorer in scorers]

    def score_group(group_BPD: Tensor) -> list[Tensor]:
        return [image_scores(group_BPD, scorer) for scorer in scorers]

    per_group = list(workers.map(score_group, acts_BPD.split(GROUP)))
    return [torch.cat(scores) for scores in zip(*per_group, strict=True)]


@torch.inference_mode()
def image_scores(
    acts_BPD: Float[Tensor, "b p d"], scorer: Scorer
) -> Float[Tensor, "b k"]:
    """How strongly each prototype is present in each image.

    This is the maximum, over the patches of an image, of the prototype's score. The
    last lines compute it for any scorer; on a CPU some scorers have a faster way.
    """
    n_images, n_patches, _ = acts_BPD.shape
    if acts_BPD.device.type == "cpu":
        match scorer:
            case DotProduct():
                return _largest_products(acts_BPD, scorer.directions_KD)
            case CentredDotProduct():
                products_BK = _largest_products(acts_BPD, scorer.directions_KD)
                return products_BK + scorer.offset_K
            case NegativeDistance():
                square_BP = acts_BPD.square().sum(2)
                products_BK = _largest_products(
                    acts_BPD, 2 * scorer.centres_KD, -square_BP
                )
                return products_BK - scorer.square_K
            case SparseAutoencoder(l0=None):
                products_BK = _largest_products(acts_BPD, scorer.directions_SD)
                scores_BK = products_BK + scorer.offset_S
                return scores_BK.masked_fill_(scores_BK <= scorer.threshold_S, 0)
            case SparseAutoencoder():
                return _largest_of_active(acts_BPD, scorer)
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


def _largest_of_active(
    acts_BPD: Float[Tensor, "b p d"], sae: SparseAutoencoder
) -> Float[Tensor, "b s"]:
    """The largest value of each TopK latent over the patches where it is active.

    TopK compares the latents of a patch, so all of them are needed at once.
    """
    n_images, n_patches, _ = acts_BPD.shape
    l0 = min(sae.l0, sae.n_prototypes)
    scores_BS = np.zeros((n_images, sae.n_prototypes), np.float32)
    pre_PS = torch.empty(n_patches, sae.n_prototypes)
    latent_E = np.zeros(n_patches * l0, np.int64)
    value_E = np.empty(n_patches * l0, np.float32)
    n_P = np.empty(n_patches, np.int64)
    for acts_PD, scores_S in zip(acts_BPD, scores_BS, strict=True):
        torch.addmm(sae.offset_S, acts_PD, sae.directions_SD.T, out=pre_PS)
        value_E.fill(0)  # unused entries: a maximum with 0 changes nothing
        select_largest(pre_PS.numpy(), l0, latent_E, value_E, n_P)
        np.maximum.at(scores_S, latent_E, value_E)
    return torch.from_numpy(scores_BS)


def _largest_products(
    acts_BPD: Float[Tensor, "b p d"],
    directions_KD: Float[Tensor, "k d"],
    offset_BP: Float[Tensor, "b p"] | None = None,
) -> Float[Tensor, "b k"]:
    """The largest dot product of each direction with the patches of each image.

    Terms of a prototype do not change which patch is largest, so callers add them
    afterwards; terms of a patch, `offset_BP`, are added before the maximum.
    """
    n_images, n_patches, _ = acts_BPD.shape
    acts_DM = acts_BPD.flatten(0, 1).T
    largest_KB = torch.empty(len(directions_KD), n_images)
    tile_KM = torch.empty(min(TILE, len(directions_KD)), n_images * n_patches)
    for some_KD, some_KB in zip(
        directions_KD.split(TILE), largest_KB.split(TILE), strict=True
    ):
        products_KM = tile_KM[: len(some_KD)]
        if offset_BP is None:
            torch.mm(some_KD, acts_DM, out=products_KM)
        else:
            torch.addmm(offset_BP.flatten(), some_KD, acts_DM, out=products_KM)
        torch.amax(products_KM.unflatten(1, (n_images, n_patches)), dim=2, out=some_KB)
    return largest_KB.T.contiguous()
