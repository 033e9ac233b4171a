"""Find the images that drive each prototype most, and least.

R ranks: a prototype's image with the highest score has rank 0. M pairs of an image and
a prototype.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor
from tqdm import tqdm

from vitproto.activations.stream import Activations
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each
from vitproto.prototypes.scorer import Scorer

IMAGES_PER_CORE = 4
"""Images of a block that each core scores, one after the other. Each matrix product
takes the patches of one image, so cores and shards do not change a score."""


@dataclass(frozen=True)
class TopImages:
    """Each prototype's best images, and how often and how strongly patches drive it.

    Attributes:
        score_RK: the score of an image's best patch, highest first.
        i_image_RK: the index of the image; of equal scores the first one comes first.
        low_score_RK: the score of an image's lowest patch, lowest first.
        i_low_image_RK: the index of that image, likewise.
        n_patches: number of patches in all images.
        n_above_K: number of patches that score above 0.
        sum_above_K: the sum of their scores.
    """

    score_RK: Float32[np.ndarray, "r k"]
    i_image_RK: Int64[np.ndarray, "r k"]
    low_score_RK: Float32[np.ndarray, "r k"]
    i_low_image_RK: Int64[np.ndarray, "r k"]
    n_patches: int
    n_above_K: Int64[np.ndarray, " k"]
    sum_above_K: Float64[np.ndarray, " k"]

    @property
    def lowest_K(self) -> Float32[np.ndarray, " k"]:
        """The lowest score of any patch; 0 for most latents."""
        return self.low_score_RK[0]

    @property
    def frequency_K(self) -> Float64[np.ndarray, " k"]:
        """The share of patches that score above 0."""
        return self.n_above_K / self.n_patches

    @property
    def mean_value_K(self) -> Float64[np.ndarray, " k"]:
        """The mean score of these patches; NaN if there are none."""
        mean_K = np.full(len(self.n_above_K), np.nan)
        np.divide(self.sum_above_K, self.n_above_K, mean_K, where=self.n_above_K > 0)
        return mean_K

    @property
    def is_alive_K(self) -> Bool[np.ndarray, " k"]:
        """Whether patches have different scores."""
        return self.score_RK[0] > self.lowest_K

    def images_of(self, prototype: int) -> list[int]:
        """The images that drive a prototype, best first.

        Images whose best patch has the lowest score of all patches do not count: a
        latent that is active in three images has three.
        """
        drives_R = self.score_RK[:, prototype] > self.lowest_K[prototype]
        return self.i_image_RK[drives_R, prototype].tolist()

    def lowest_images_of(self, prototype: int) -> list[int]:
        """The images with the lowest scores, lowest first.

        Only patches with scores below 0 count, and only of prototypes that score others
        above 0: a latent is never below, a negative distance never above.
        """
        below_R = self.low_score_RK[:, prototype] < 0
        if self.score_RK[0, prototype] <= 0:
            return []
        return self.i_low_image_RK[below_R, prototype].tolist()


class _ImageScores(NamedTuple):
    """The scores of one image, over its patches."""

    highest_K: np.ndarray
    lowest_K: np.ndarray
    n_above_K: np.ndarray
    sum_above_K: np.ndarray


def find_top_images(
    activations: Activations, scorer: Scorer, n_images: int, device: torch.device
) -> TopImages:
    """Find the images that drive each prototype most, in one pass over the data.

    An image counts once, with its best patch. Memory holds `n_images` scores per
    prototype and a block of images, for data sets of any size.

    Args:
        activations: the activations of the data set.
        scorer: scores K prototypes.
        n_images: R, the images to find for each prototype; fewer if there are fewer.
        device: where to compute scores.
    """
    on_device = scorer.to(device)
    n_patches = activations.n_images * activations.n_patches
    n_prototypes = scorer.n_prototypes
    table = (min(n_images, activations.n_images), n_prototypes)
    score_RK, i_image_RK = np.full(table, -np.inf, np.float32), np.full(table, -1)
    # Lowest images are the highest ones of the scores with the other sign.
    minus_RK, i_low_image_RK = score_RK.copy(), i_image_RK.copy()
    n_above_K = np.zeros(n_prototypes, np.int64)
    sum_above_K = np.zeros(n_prototypes)

    def score(acts_PD: Tensor) -> _ImageScores:
        return _score_image(acts_PD.to(device), on_device)

    with one_core_each() as workers, progress_bar(n_patches, "patches") as progress:
        n_at_once = IMAGES_PER_CORE * torch.get_num_threads()
        for i_first, acts_BPD in activations.blocks(n_at_once):
            images = list(workers.map(score, acts_BPD))
            for image in images:
                n_above_K += image.n_above_K
                sum_above_K += image.sum_above_K
            highest_BK = np.stack([image.highest_K for image in images])
            _enter(score_RK, i_image_RK, highest_BK, i_first)
            minus_BK = -np.stack([image.lowest_K for image in images])
            _enter(minus_RK, i_low_image_RK, minus_BK, i_first)
            progress.update(len(images) * activations.n_patches)
    low_score_RK = 0 - minus_RK  # never -0
    return TopImages(
        *(score_RK, i_image_RK, low_score_RK, i_low_image_RK),
        *(n_patches, n_above_K, sum_above_K),
    )


class Wanted(NamedTuple):
    """An image, and the prototype that its patches are scored by."""

    i_image: int
    prototype: int
    i_scorer: int = 0
    """The index of its scorer."""


def score_patches(
    activations: Activations,
    scorers: Sequence[Scorer],
    wanted: Sequence[Wanted],
    device: torch.device,
    progress: tqdm | None = None,
) -> Float32[np.ndarray, "m p"]:
    """Score the patches of images, for M pairs of an image and a prototype.

    Scores have the same bits as in `find_top_images`. Each image is read once, in the
    order of the shards.

    Args:
        activations: the activations of the images.
        scorers: the prototypes.
        wanted: the pairs.
        device: where to compute scores.
        progress: moves on by one for each image.
    """
    on_device = [scorer.to(device) for scorer in scorers]
    rows_of: dict[int, dict[int, list[int]]] = {}
    for row, (i_image, _, i_scorer) in enumerate(wanted):
        rows_of.setdefault(i_image, {}).setdefault(i_scorer, []).append(row)
    i_patch_P = np.arange(activations.n_patches)
    scores_MP = np.empty((len(wanted), len(i_patch_P)), np.float32)

    @torch.inference_mode()
    def score(i_image: int) -> list[Tensor]:
        acts_PD = activations.read_patches(np.full_like(i_patch_P, i_image), i_patch_P)
        acts_PD = acts_PD.to(device)
        parts = []
        for i_scorer, rows in rows_of[i_image].items():
            prototypes = [wanted[row].prototype for row in rows]
            parts.append(on_device[i_scorer](acts_PD)[:, prototypes].T.cpu())
        return parts

    with one_core_each() as workers:
        images = sorted(rows_of)
        for i_image, parts in zip(images, workers.map(score, images), strict=True):
            for rows, scores_RP in zip(rows_of[i_image].values(), parts, strict=True):
                scores_MP[rows] = scores_RP.numpy()
            if progress is not None:
                progress.update()
    return scores_MP


@torch.inference_mode()
def _score_image(acts_PD: Tensor, scorer: Scorer) -> _ImageScores:
    scores_PK = scorer(acts_PD)
    parts = (
        scores_PK.amax(0),
        scores_PK.amin(0),
        (scores_PK > 0).sum(0),
        scores_PK.clamp(min=0).sum(0, dtype=torch.float64),
    )
    return _ImageScores(*(part_K.cpu().numpy() for part_K in parts))


def _enter(
    score_RK: np.ndarray, i_image_RK: np.ndarray, highest_BK: np.ndarray, i_first: int
) -> None:
    """Insert the images of a block into the table of the best ones, in place."""
    enters_K = (highest_BK > score_RK[-1]).any(axis=0)
    i_image_B = np.arange(i_first, i_first + len(highest_BK))[:, None]
    highest_BJ = highest_BK[:, enters_K]
    score_SJ = np.concatenate([score_RK[:, enters_K], highest_BJ])
    i_image_BJ = np.broadcast_to(i_image_B, highest_BJ.shape)
    i_image_SJ = np.concatenate([i_image_RK[:, enters_K], i_image_BJ])
    # Stable: of equal scores the earlier image stays first.
    order_RJ = np.argsort(-score_SJ, axis=0, kind="stable")[: len(score_RK)]
    score_RK[:, enters_K] = np.take_along_axis(score_SJ, order_RJ, axis=0)
    i_image_RK[:, enters_K] = np.take_along_axis(i_image_SJ, order_RJ, axis=0)
