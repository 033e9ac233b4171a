"""How strongly is each prototype present in an image? As in its best patch."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.prototypes.scorer import DotProduct, Scorer

IMAGES_PER_BLOCK = 16
"""Images read at a time: 16 MB for a ViT-L."""

TILE = 512
"""Prototypes scored at a time on a CPU: their scores for the patches of an image are
read again from the cache."""

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
    for i_first, acts_BPD in activations.blocks(IMAGES_PER_BLOCK):
        acts_BPD = acts_BPD.to(device)
        yield i_first, [image_scores(acts_BPD, scorer).cpu() for scorer in on_device]


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
