"""Split images into those that autoencoders learn from and held-out ones."""

import numpy as np
from jaxtyping import Int64


def held_out_images(n_images: int, every: int) -> Int64[np.ndarray, " n"]:
    """The images on which autoencoders are measured; none learns from them.

    Every N-th image of the image list: with `every` 50, images 49, 99, 149, … Lists are
    often sorted by class, so every class has its share.

    Args:
        n_images: number of images of the data set, in all shards.
        every: at least 2.

    Raises:
        ValueError: there are too few images to hold one out.
    """
    assert every >= 2, every
    if n_images < every:
        raise ValueError(
            f"one image of {every} is held out to measure autoencoders on, but the "
            f"data set has {n_images}: lower held_out.every or record more images"
        )
    return np.arange(every - 1, n_images, every, dtype=np.int64)


def training_images(n_images: int, every: int) -> Int64[np.ndarray, " n"]:
    """The images that autoencoders learn from: all others, in order.

    Raises:
        ValueError: there are too few images to hold one out.
    """
    held_out_N = held_out_images(n_images, every)
    return np.delete(np.arange(n_images, dtype=np.int64), held_out_N)
