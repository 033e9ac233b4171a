"""Predictions for an image before and after the latents of a class are suppressed.

M test images, P patches, J latents of the class, O doses, H × W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, UInt16
from torch import Tensor

from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.probes.pixels import predict_pixels
from vitproto.segmentation.suppression.edited_logits import EditedLogits
from vitproto.segmentation.suppression.edits import Activity, change_latents


@dataclass(frozen=True)
class BeforeAfter:
    """Predictions for an image, and where the latents are active.

    Attributes:
        before_HW: predicted labels, from 1, of the pixels in patches.
        after: the same after suppression, for each dose.
        activity_P: the sum of the latents, each divided by its largest value.
    """

    before_HW: UInt16[np.ndarray, "h w"]
    after: list[UInt16[np.ndarray, "h w"]]
    activity_P: Float32[np.ndarray, " p"]


@dataclass(frozen=True)
class Suppressor:
    """Suppresses the latents of a class, and predicts pixels before and after.

    Attributes:
        autoencoder: on the device of the activations.
        activity: the activity of its latents in training.
        logits: of the test images, on the same device.
        grid: rows and columns of patches.
        patch_side: the side of a patch in pixels.
        doses: how much latents are suppressed, as in `SuppressionSettings.doses`.
    """

    autoencoder: SparseAutoencoder
    activity: Activity
    logits: EditedLogits
    grid: tuple[int, int]
    patch_side: int
    doses: tuple[float, ...]

    @torch.inference_mode()
    def __call__(
        self, i_test: int, acts_PD: Float32[Tensor, "p d"], latents_J: Sequence[int]
    ) -> BeforeAfter:
        """Predict the pixels of a test image, before and after.

        The edit is x + dec(f′) − dec(f), as in `class_edits`: the autoencoder's error
        stays.

        Args:
            i_test: the index of the test image.
            acts_PD: the activations of that image, at the autoencoder's layer.
            latents_J: the latents of the class, one or more.
        """
        chosen = list(latents_J)
        largest_J = torch.from_numpy(self.activity.largest_S[chosen]).to(acts_PD)
        latents_PJ = self.autoencoder(acts_PD)[:, chosen]
        doses_O = torch.tensor(self.doses).to(acts_PD)
        coefficients_OPJ = change_latents(latents_PJ, doses_O, largest_J)
        rows_JD = self.autoencoder.norm * self.autoencoder.W_dec_SD[chosen]
        before_PC = self.logits.before(i_test, acts_PD)
        prepared_OJX = self.logits.prepare(rows_JD.expand(len(self.doses), -1, -1))
        after_OPC = self.logits.after(i_test, before_PC, prepared_OJX, coefficients_OPJ)
        # A latent that was never active in training may be active here.
        share_PJ = latents_PJ / largest_J.masked_fill(largest_J == 0, 1)
        return BeforeAfter(
            self._predict(before_PC),
            [self._predict(after_PC) for after_PC in after_OPC],
            share_PJ.sum(1).cpu().numpy(),
        )

    def _predict(self, logits_PC: Float32[Tensor, "p c"]) -> np.ndarray:
        return predict_pixels(logits_PC.cpu().numpy(), self.grid, self.patch_side)


def find_images(
    masks_MHW: UInt16[np.ndarray, "m h w"], label: int, n_images: int
) -> list[int]:
    """Find the test images with most pixels of a class; of equal ones the first.

    Returns:
        The indices of at most `n_images` test images, which all show the class.
    """
    n_pixels_M = np.array([np.count_nonzero(mask == label) for mask in masks_MHW])
    order = np.argsort(-n_pixels_M, kind="stable")[:n_images]
    return [int(m) for m in order if n_pixels_M[m] > 0]
