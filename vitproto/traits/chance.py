"""What is reached without looking: by constant scores, and by a random ranking."""

import numpy as np
from jaxtyping import Bool, Float, Int


def expected_ap(
    n_images_T: Int[np.ndarray, " t"], n_shown_T: Int[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """The mean AP of all orders of n images, of which m show a trait, without ties.

    An image that shows the trait has each rank r with probability 1/n. Each of the
    r − 1 images above it then shows the trait with probability (m − 1) / (n − 1), so
    the expected precision at r is (1 + (r − 1)(m − 1) / (n − 1)) / r. The mean over r
    is

        (m − 1) / (n − 1) + (n − m) / (n (n − 1)) · Hₙ,  Hₙ = 1 + 1/2 + … + 1/n,

    as in Bestgen (2015), "Exact expected average precision of the random baseline for
    system evaluation", Prague Bulletin of Mathematical Linguistics 103. It exceeds
    the prevalence m / n, which is the AP of constant scores, most of all for rare
    traits.

    Args:
        n_images_T: n, the images that are ranked for each trait.
        n_shown_T: m, those of them that show it.

    Returns:
        The expected AP; NaN for a trait that no image shows.
    """
    n_most = int(n_images_T.max(initial=0))
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, n_most + 1))])
    others_T = np.maximum(n_images_T - 1, 1)  # of a single image the second term is 0
    share_T = (n_shown_T - 1) / others_T
    rest_T = (n_images_T - n_shown_T) / others_T
    first_T = harmonic[n_images_T] / np.maximum(n_images_T, 1)
    chance_T = np.where(n_images_T == 1, 1.0, share_T + rest_T * first_T)
    return np.where(n_shown_T > 0, chance_T, np.nan)


def chance_of(
    labels_NT: Bool[np.ndarray, "n t"], known_NT: Bool[np.ndarray, "n t"]
) -> Float[np.ndarray, " t"]:
    """The expected AP of a random ranking of the known images, see `expected_ap`."""
    return expected_ap(known_NT.sum(axis=0), (labels_NT & known_NT).sum(axis=0))


def prevalence_of(
    labels_NT: Bool[np.ndarray, "n t"], known_NT: Bool[np.ndarray, "n t"]
) -> Float[np.ndarray, " t"]:
    """The share of the known images that show each trait; 0 if none is known."""
    n_shown_T = (labels_NT & known_NT).sum(axis=0)
    return n_shown_T / np.maximum(known_NT.sum(axis=0), 1)
