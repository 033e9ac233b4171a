"""A trained sparse autoencoder: its latents are the scores.

B activations, D width, S latents.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

_WEIGHTS = ("W_enc_SD", "b_enc_S", "W_dec_SD", "b_dec_D", "threshold_S", "mean_D")


@dataclass(frozen=True)
class SparseAutoencoder:
    """A trained sparse autoencoder, which takes activations as the encoder gives them.

    It scales activations to z = (x - mean) / norm, computes

        f = activation((z - b_dec) · W_encᵀ + b_enc)        the latents
        ẑ = f · W_dec + b_dec                               the reconstruction

    and returns x̂ = ẑ · norm + mean. The activation sets values up to `threshold_S` to
    0: ReLU has the threshold 0 and BatchTopK one above it, for all latents; JumpReLU
    has learned one for each latent. TopK keeps only the `l0` largest of the positive
    values; of equals the first.

    Latents are never negative. They are the scores.
    """

    KIND = "sparse_autoencoder"
    ARGUMENTS = (*_WEIGHTS, "norm", "l0")

    W_enc_SD: Float[Tensor, "s d"]
    b_enc_S: Float[Tensor, " s"]
    W_dec_SD: Float[Tensor, "s d"]
    b_dec_D: Float[Tensor, " d"]
    threshold_S: Float[Tensor, " s"]
    """0 or more; 0 with `l0`."""
    mean_D: Float[Tensor, " d"]
    norm: float
    l0: int | None
    """Number of latents that TopK keeps; None for other activations."""

    @property
    def n_prototypes(self) -> int:
        """S, the number of latents."""
        return len(self.b_enc_S)

    @property
    def width(self) -> int:
        """D, the width of the encoder."""
        return len(self.b_dec_D)

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b s"]:
        """The latents of raw activations."""
        latents_BS = activations_BD @ self.directions_SD.T + self.offset_S
        latents_BS.masked_fill_(latents_BS <= self.threshold_S, 0)
        if self.l0 is not None and self.l0 < self.n_prototypes:
            keep_largest(latents_BS, self.l0)
        return latents_BS

    def decode(self, latents_BS: Float[Tensor, "b s"]) -> Float[Tensor, "b d"]:
        """The reconstruction x̂, in the units of raw activations."""
        scaled_BD = latents_BS @ self.W_dec_SD + self.b_dec_D
        return scaled_BD * self.norm + self.mean_D

    @cached_property
    def directions_SD(self) -> Float[Tensor, "s d"]:
        """The encoder's weights for raw activations, which include the scaling."""
        return self.W_enc_SD / self.norm

    @cached_property
    def offset_S(self) -> Float[Tensor, " s"]:
        """The encoder's bias for raw activations, which includes the scaling."""
        origin_D = self.mean_D.double() / self.norm + self.b_dec_D.double()
        return (self.b_enc_S.double() - self.W_enc_SD.double() @ origin_D).float()

    def to(self, device: torch.device) -> "SparseAutoencoder":
        """The same autoencoder with its weights on `device`."""
        weights = {name: getattr(self, name).to(device) for name in _WEIGHTS}
        return replace(self, **weights)


def keep_largest(latents_BS: Float[Tensor, "b s"], l0: int) -> None:
    """Set all but the `l0` largest latents of each activation to 0, in place.

    Among equal latents, those with the lowest index stay, on every device.
    """
    least_B1 = latents_BS.topk(l0, dim=1).values[:, -1:]
    latents_BS.masked_fill_(latents_BS < least_B1, 0)
    # More latents may equal the least than places are left.
    tied_BS = (latents_BS == least_B1) & (latents_BS > 0)
    n_above_B1 = (latents_BS > least_B1).sum(1, keepdim=True)
    surplus_B = n_above_B1[:, 0] + tied_BS.sum(1) > l0
    if surplus_B.any():
        tied_CS = tied_BS[surplus_B]
        is_surplus_CS = tied_CS & (tied_CS.cumsum(1) > l0 - n_above_B1[surplus_B])
        latents_BS[surplus_B] = latents_BS[surplus_B].masked_fill(is_surplus_CS, 0)
