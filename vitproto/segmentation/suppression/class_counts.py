"""What is counted before and after edits.

M test images, P patches, J latents of a class, U latents chosen for any class, C
classes, O doses, K kinds of edits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from vitproto.segmentation.suppression.edits import ClassEdits


class Active(NamedTuple):
    """The nonzero values of the chosen latents in an image, as lists of entries."""

    i_patch: np.ndarray
    i_kept: np.ndarray
    """The index of the latent in `Before.kept`."""
    value: np.ndarray


@dataclass(frozen=True)
class Before:
    """The test images before any edit."""

    logits_MPC: Float32[np.ndarray, "m p c"]
    true_MC: Int64[np.ndarray, "m c"]
    """Pixels of each class in the mask of each image."""
    predicted_MC: Int64[np.ndarray, "m c"]
    """Labelled pixels for which each class is predicted."""
    hit_MC: Int64[np.ndarray, "m c"]
    """Pixels for which it is predicted correctly."""
    length_M: Float64[np.ndarray, " m"]
    """The mean length of the activations to edit, over the patches of each image."""
    kept: list[int]
    """The latents whose values are kept: those chosen for any class."""
    active_M: list[Active]

    def latents(
        self, i_test: int, latents_J: Sequence[int]
    ) -> Float32[np.ndarray, "p j"]:
        """The values of some chosen latents on the patches of an image."""
        active = self.active_M[i_test]
        dense_PU = np.zeros((self.logits_MPC.shape[1], len(self.kept)), np.float32)
        dense_PU[active.i_patch, active.i_kept] = active.value
        return dense_PU[:, [self.kept.index(latent) for latent in latents_J]]


@dataclass(frozen=True)
class ClassCounts:
    """The effects of each edit for one class, as counts."""

    edits: ClassEdits
    predicted_KOMC: Int32[np.ndarray, "k o m c"]
    hit_KOMC: Int32[np.ndarray, "k o m c"]
    n_changed_KO: Int64[np.ndarray, "k o"]
    """Patches of the class whose predicted class changes, in all images."""
    n_others_changed_KO: Int64[np.ndarray, "k o"]
    """Patches with other labels whose predicted class changes."""
    n_to_OC: Int64[np.ndarray, "o c"]
    """Patches of the class that change to each class if its latents are suppressed."""
    n_patches: int
    """Patches of the class in the test images."""
    n_others: int
    """Patches with other labels."""
    length_OM: Float64[np.ndarray, "o m"]
    """The mean length of the edits over all patches of an image, labelled or not."""
