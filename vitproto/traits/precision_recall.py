"""Precision and recall along a ranking of images."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64


class Curve(NamedTuple):
    """A precision–recall curve, with a point for each different score."""

    recall_R: Float64[np.ndarray, " r"]
    """The share of the images with the trait that score at least as high; ascends."""
    precision_R: Float64[np.ndarray, " r"]
    """The share of the images that score at least as high that have the trait."""


def precision_recall(
    scores_M: Float[np.ndarray, " m"], shows_M: Bool[np.ndarray, " m"]
) -> Curve:
    """Precision and recall of the images that score at least as high as each score.

    Images with equal scores enter together, as in `average_precision`: AP is the sum,
    over the points, of the precision times the step in recall.

    Args:
        scores_M: the score of each image; higher means that the trait is present.
        shows_M: which images show the trait.

    Raises:
        ValueError: no image shows the trait, so there is no recall.
    """
    n_showing = int(shows_M.sum())
    if n_showing == 0:
        raise ValueError("no image shows the trait, so there is no recall")
    order_M = np.argsort(-scores_M, kind="stable")
    ranked_M = scores_M[order_M]
    is_last_M = np.append(ranked_M[1:] != ranked_M[:-1], True)
    n_found_R = np.cumsum(shows_M[order_M])[is_last_M]
    n_taken_R = np.flatnonzero(is_last_M) + 1
    return Curve(n_found_R / n_showing, n_found_R / n_taken_R)
