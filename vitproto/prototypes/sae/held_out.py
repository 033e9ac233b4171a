"""Which images autoencoders learn from, and which they are measured on."""

import numpy as np
from jaxtyping import Int64


def held_out_images(n_images: int, every: int) -> Int64[np.ndarray, " n"]:
    """On which images are autoencoders measured? No autoencoder learns from them.

    Every `every`-th one, counted in the order of the image list: with 50, the images
    49, 99, 149, … So classes that stand one after the other all have their share.

    Args:
        n_images: in the data set, over all shards.
        every: at least 2.

    Raises:
        ValueError: there are too few images to hold one back.
    """
    assert every >= 2, every
    if n_images < every:
        raise ValueError(
            f"one image of {every} is held out to measure autoencoders on, but the "
            f"data set has {n_images}: lower held_out.every or record more images"
        )
    return np.arange(every - 1, n_images, every, dtype=np.int64)


def training_images(n_images: int, every: int) -> Int64[np.ndarray, " n"]:
    """From which images do autoencoders learn? From all that are not held out.

    In the order of the image list.

    Raises:
        ValueError: there are too few images to hold one back.
    """
    held_out_N = held_out_images(n_images, every)
    return np.delete(np.arange(n_images, dtype=np.int64), held_out_N)
