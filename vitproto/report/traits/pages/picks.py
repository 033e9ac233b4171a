"""The images that a trait's page shows, as indices of the data set's images."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

SEED = 0
"""Decides which of equal scores comes first, and which examples are drawn."""


class Picks(NamedTuple):
    """Test images that say what a prototype finds and misses."""

    highest: list[int]
    """The highest scores, best first."""
    mistaken: list[int]
    """The highest scores of images without the trait, best first."""
    missed: list[int]
    """The lowest scores of images with the trait, lowest first."""

    @property
    def images(self) -> list[int]:
        """All of them, each once, in the order of the data set."""
        return sorted({*self.highest, *self.mistaken, *self.missed})


class Examples(NamedTuple):
    """Training images drawn at random."""

    with_trait: list[int]
    without_trait: list[int]


def pick_images(
    scores_N: Float32[np.ndarray, " n"],
    shows_N: Bool[np.ndarray, " n"],
    ranked_N: Bool[np.ndarray, " n"],
    n_images: int,
) -> Picks:
    """Pick the images that a prototype ranks highest, and its gravest errors.

    Equal scores come in an order drawn at random, not by their place in the data set:
    an autoencoder scores most images 0.

    Args:
        scores_N: the prototype's score of each image.
        shows_N: which images show the trait.
        ranked_N: the test images of which that is known; others are not picked.
        n_images: most images of each kind.
    """
    drawn_N = np.random.default_rng(SEED).permutation(len(scores_N))
    order_M = np.lexsort((drawn_N, -scores_N))
    order_M = order_M[ranked_N[order_M]]
    shows_M = shows_N[order_M]
    return Picks(
        order_M[:n_images].tolist(),
        order_M[~shows_M][:n_images].tolist(),
        order_M[shows_M][::-1][:n_images].tolist(),
    )


def draw_examples(
    shows_N: Bool[np.ndarray, " n"], drawn_N: Bool[np.ndarray, " n"], n_images: int
) -> Examples:
    """Draw images with and without a trait, which say what its name means.

    Args:
        shows_N: which images show the trait.
        drawn_N: the images to draw from; of each it is known.
        n_images: most images of each kind.
    """
    order_N = np.random.default_rng(SEED).permutation(len(shows_N))
    order_M = order_N[drawn_N[order_N]]
    shows_M = shows_N[order_M]
    return Examples(
        order_M[shows_M][:n_images].tolist(), order_M[~shows_M][:n_images].tolist()
    )
