"""Pool activations over the patches of an image."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.core.threads import one_core_each

IMAGES_PER_THREAD = 16
"""Images that are read together, for each thread."""


class Pooled(NamedTuple):
    """Each dimension over the patches of some images."""

    max_BD: Float32[Tensor, "b d"]
    mean_BD: Float32[Tensor, "b d"]


def pool_blocks(activations: Activations) -> Iterator[tuple[int, Pooled]]:
    """Pool all images, in order, in one pass over the data.

    A thread pools a whole image, so the bits depend neither on the number of threads
    nor on that of shards.

    Yields:
        The index of a block's first image, and the block.
    """
    with one_core_each() as workers:
        n_images = IMAGES_PER_THREAD * torch.get_num_threads()
        for i_first, acts_BPD in activations.blocks(n_images):
            images = list(workers.map(pool_image, acts_BPD))
            max_BD, mean_BD = (torch.stack(same) for same in zip(*images, strict=True))
            yield i_first, Pooled(max_BD, mean_BD)


def pool_image(
    acts_PD: Float[Tensor, "p d"],
) -> tuple[Float32[Tensor, " d"], Float32[Tensor, " d"]]:
    """The maximum and the mean of each dimension; the mean is summed in float64."""
    mean_D = acts_PD.mean(0, dtype=torch.float64)
    return acts_PD.amax(0).float(), mean_D.float()
