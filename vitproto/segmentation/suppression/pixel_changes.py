"""What edits change, without what they leave as it was.

M test images, C classes, K kinds of edits of a class, O doses. E edits: kind · O +
dose. X entries: an edit, an image and a class whose counts the edit changes.
"""

import numpy as np
from jaxtyping import Integer

COMPRESSED = {"compression": "gzip", "shuffle": True}
"""How h5py stores changes: in about 6 bytes each."""


def changed_pixels(
    predicted_KOMC: Integer[np.ndarray, "k o m c"],
    hit_KOMC: Integer[np.ndarray, "k o m c"],
) -> dict[str, np.ndarray]:
    """List the changes that are not 0, sorted by edit and image.

    Args:
        predicted_KOMC: the changes of predicted pixels.
        hit_KOMC: the changes of correct pixels.

    Returns:
        start_E, image_X, class_X, predicted_X and hit_X, see `EditedClass`.
    """
    n_edits = predicted_KOMC.shape[0] * predicted_KOMC.shape[1]
    is_changed = (predicted_KOMC != 0) | (hit_KOMC != 0)
    kind_X, dose_X, image_X, class_X = np.nonzero(is_changed)
    edit_X = kind_X * predicted_KOMC.shape[1] + dose_X
    return {
        "start_E": np.searchsorted(edit_X, np.arange(n_edits + 1)),
        "image_X": image_X.astype(np.uint32),
        "class_X": class_X.astype(np.uint16),
        "predicted_X": predicted_KOMC[is_changed],
        "hit_X": hit_KOMC[is_changed],
    }
