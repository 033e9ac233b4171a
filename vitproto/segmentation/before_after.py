"""What is predicted on an image before and after the latents of a class are suppressed.

M test images, P patches, J latents of the class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, UInt8, UInt16
from torch import Tensor

from vitproto.prototypes.sae.autoencoder import SparseAutoencoder
from vitproto.segmentation.encoder_tail import Tail
from vitproto.segmentation.linear_probe import LinearProbe
from vitproto.segmentation.pixels import predict_pixels


@dataclass(frozen=True)
class ChosenLatents:
    """The latents of a class that are suppressed, or why there are none.

    Attributes:
        latents_J: counted from 0, in order of rank.
        largest_J: the largest value of each on any training patch.
        note: why there are none; empty otherwise.
    """

    latents_J: list[int]
    largest_J: list[float]
    note: str


@dataclass(frozen=True)
class BeforeAfter:
    """What is predicted on an image, and where the latents are active.

    Attributes:
        before_HW, after_HW: predicted labels, from 1, of the pixels in patches.
        activity_P: the sum over the latents of their value / their largest one.
    """

    before_HW: UInt16[np.ndarray, "h w"]
    after_HW: UInt16[np.ndarray, "h w"]
    activity_P: Float32[np.ndarray, "p"]


@dataclass(frozen=True)
class Suppressor:
    """Suppresses the latents of one class, at the probe's layer or at an earlier one.

    Attributes:
        autoencoder, probe: on one device.
        tail: the encoder's blocks up to the probe's layer; None at the probe's layer.
        grid: rows and columns of patches.
        patch_side: of a patch, in pixels.
        dose: multiple of its largest value that each latent is set to.
    """

    autoencoder: SparseAutoencoder
    probe: LinearProbe
    tail: Tail | None
    grid: tuple[int, int]
    patch_side: int
    dose: float

    @torch.inference_mode()
    def __call__(
        self,
        acts_PD: Float32[Tensor, "p d"],
        pixels_CHW: UInt8[np.ndarray, "3 h w"],
        chosen: ChosenLatents,
    ) -> BeforeAfter:
        """What is predicted on an image, before and after?

        The edit is x + dec(f′) − dec(f): what the autoencoder does not reconstruct
        stays as it is.

        Args:
            acts_PD: of the image, at the autoencoder's layer, on its device.
            pixels_CHW: the window that the encoder sees.
            chosen: the latents of the class, one or more.
        """
        largest_J = torch.tensor(chosen.largest_J, device=acts_PD.device)
        latents_PJ = self.autoencoder(acts_PD)[:, chosen.latents_J]
        change_PJ = self.dose * largest_J - latents_PJ
        rows_JD = self.autoencoder.norm * self.autoencoder.W_dec_SD[chosen.latents_J]
        if self.tail is None:
            before_PC = self.probe(acts_PD)
            # Of low rank: the edited activations themselves are never needed.
            after_PC = before_PC + change_PJ @ (rows_JD @ self.probe.weight_CD.T)
        else:
            edit_PD = change_PJ @ rows_JD
            edit_EPD = torch.stack([torch.zeros_like(edit_PD), edit_PD])
            edited_EPD = self.tail(torch.from_numpy(pixels_CHW), edit_EPD)
            before_PC, after_PC = (self.probe(x_PD) for x_PD in edited_EPD)
        # A latent that is never active in training may still be so here.
        share_PJ = latents_PJ / torch.where(largest_J > 0, largest_J, 1)
        return BeforeAfter(
            self._predict(before_PC),
            self._predict(after_PC),
            share_PJ.sum(1).cpu().numpy(),
        )

    def _predict(self, logits_PC: Tensor) -> UInt16[np.ndarray, "h w"]:
        logits = np.ascontiguousarray(logits_PC.float().cpu().numpy())
        return predict_pixels(logits, self.grid, self.patch_side)


def find_images(
    masks_MHW: UInt16[np.ndarray, "m h w"], label: int, n_images: int
) -> list[int]:
    """Which test images show most pixels of a class? Of equal ones the first.

    Returns:
        Their numbers among the test images, at most `n_images`; none that does not
        show the class.
    """
    n_pixels_M = np.array([np.count_nonzero(mask == label) for mask in masks_MHW])
    order = np.argsort(-n_pixels_M, kind="stable")[:n_images]
    return [int(m) for m in order if n_pixels_M[m] > 0]


def read_chosen(
    class_latents: Path, latent_activity: Path, labels: Sequence[int]
) -> Mapping[int, ChosenLatents]:
    """Which latents of each class are suppressed, and how large do they get?

    Args:
        class_latents: the CSV file of latents by class.
        latent_activity: the CSV file of what latents do on training images.
        labels: of the classes to read.

    Raises:
        ValueError: a column is missing, or a chosen latent has no activity.
    """
    ranked = _read(class_latents, ["label", "rank", "latent", "is_chosen", "note"])
    activity = _read(latent_activity, ["latent", "largest"])
    largest_of = dict(zip(activity["latent"], activity["largest"], strict=True))
    chosen = {}
    for label in labels:
        own = ranked[ranked["label"] == label]
        picked = own[own["is_chosen"].astype(bool) & own["latent"].notna()]
        latents = [int(latent) for latent in picked["latent"].drop_duplicates()]
        unknown = [latent for latent in latents if latent not in largest_of]
        if unknown:
            raise ValueError(
                f"{class_latents} chooses latent {unknown[0]} for label {label}, which "
                f"{latent_activity} does not hold: name files of the same autoencoder"
            )
        largest = [float(largest_of[latent]) for latent in latents]
        notes = "; ".join(dict.fromkeys(own["note"].dropna()))
        note = ""
        if not latents:
            note = notes or "no latent was chosen for it"
        elif not any(value > 0 for value in largest):
            note = "its latents are never active"
        chosen[label] = ChosenLatents(latents, largest, note)
    return chosen


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, usecols=columns)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): choose the latents again"
        ) from None
