"""What fitting supervised probes for traits gives; `trait_probes` fits them.

It loads no torch, so that tables of probes are made fast. M test images, T traits.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32


class TraitProbes(NamedTuple):
    """The probes of all traits on one subset of the training images."""

    n_train: int
    """Number of images in the subset."""
    selection_seed: int
    """The seed of the subset."""
    regularisation: float
    """The chosen one."""
    has_probe_T: Bool[np.ndarray, " t"]
    """Whether some images of the subset show the trait, and some do not."""
    cv_ap_T: Float[np.ndarray, " t"]
    """AP on images that a probe was not fitted to, within the subset, at the chosen
    regularisation."""
    train_ap_T: Float[np.ndarray, " t"]
    """AP on the subset; NaN without a probe."""
    test_ap_T: Float[np.ndarray, " t"]
    """AP on all test images. Chance, the expected AP of a random ranking, without a
    probe; NaN if no test image shows the trait."""
    scores_MT: Float32[np.ndarray, "m t"]
    """The scores of the test images; 0 without a probe."""
