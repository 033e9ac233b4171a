"""Heat-maps: each pixel of an image gets the score of its patch."""

import numpy as np
from jaxtyping import Float32, Float64

from vitproto.activations.preprocessing import Preprocessing


def heat_map(
    scores_P: Float32[np.ndarray, " p"],
    preprocessing: Preprocessing,
    image_size: tuple[int, int],
    shown_size: tuple[int, int],
) -> Float32[np.ndarray, "h w"]:
    """Give each pixel the score of the patch that contains its centre, unsmoothed.

    Args:
        scores_P: patches row by row, as in the encoder's input.
        preprocessing: how the encoder's input is made from the image.
        image_size: width and height of the image.
        shown_size: width and height at which it is shown, without cropping.

    Returns:
        A score for each pixel shown; NaN where the encoder's input was cropped.
    """
    n_rows, n_columns = preprocessing.grid(len(scores_P))
    x_E, y_F = preprocessing.patch_edges(len(scores_P), *image_size)
    column_W = _cells(x_E, image_size[0], shown_size[0])
    row_H = _cells(y_F, image_size[1], shown_size[1])
    framed = np.full((n_rows + 2, n_columns + 2), np.nan, np.float32)
    framed[1:-1, 1:-1] = scores_P.reshape(n_rows, n_columns)
    return framed[row_H[:, None], column_W[None, :]]


def _cells(edges_E: Float64[np.ndarray, " e"], length: int, n_shown: int) -> np.ndarray:
    """The index of the edge after the centre of each pixel shown."""
    centres_W = (np.arange(n_shown) + 0.5) * (length / n_shown)
    return np.searchsorted(edges_E, centres_W, side="right")
