"""The loss of one batch and its gradients, by formula, in torch for any device.

step.py computes the same by autograd: read it first. GPUs use this file, CPUs the
faster cpu_gradients.py. B rows of a batch, D width, S latents, M prefixes, A dead
latents.

With z the scaled batch, f = activation((z - b_dec) · W_encᵀ + b_enc) the latents and
ẑ_m = f[:, :end_m] · W_dec[:end_m] + b_dec the reconstruction from prefix m,

    loss = mean over m and rows of |ẑ_m - z|² + l1_weight · mean over rows of Σ f
           + aux_weight · mean over rows of |ê - (z - ẑ)|² / V

where ê is the reconstruction of the residual z - ẑ from the dead latents with the
largest positive pre-activations, and V the mean over rows of the squared distance of
the residual from its mean. The residual counts as a constant, so does b_dec in ê.

The gradients follow from the chain rule. Let g_m be the gradient of the loss with
respect to what the latents of group m (between the ends of prefixes m - 1 and m) add to
the reconstruction. They are part of prefix m and of all longer ones, so

    g_m = Σ over m' ≥ m of 2 (ẑ_m' - z) / (M · B)

and for the latents s of group m, with h the gradient with respect to pre-activations:

    W_dec[s] : Σ over rows of f_s · g_m
    h_s      = (W_dec[s] · g_m + l1_weight / B) where f_s > 0, else 0
    b_enc[s] : Σ over rows of h_s
    W_enc[s] : Σ over rows of h_s · (z - b_dec)
    b_dec    : Σ over rows of g_0, less Σ over s of b_enc's gradient · W_enc[s]
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class Weights(NamedTuple):
    """The weights of an autoencoder, or as many values, such as their gradients."""

    W_enc_SD: Float[Tensor, "s d"]
    b_enc_S: Float[Tensor, " s"]
    W_dec_SD: Float[Tensor, "s d"]
    b_dec_D: Float[Tensor, " d"]

    @classmethod
    def like(cls, other: "Weights") -> "Weights":
        """Zeros of the same shapes, on the same device."""
        return cls(*(torch.zeros_like(tensor) for tensor in other))


class Objective(NamedTuple):
    """The loss that one step minimises."""

    ends_M: Int64[np.ndarray, " m"]
    """The ends of the prefixes; the last one is S."""
    l1_weight: float
    """The weight of the mean L1 norm; 0 for TopK and BatchTopK."""
    l0: int | None
    """Active latents per row; None for ReLU."""
    over_batch: bool
    """Whether `l0` is a mean over the batch (BatchTopK), or holds for each row."""
    n_aux: int
    """Dead latents that reconstruct the residual of each row (AuxK)."""
    aux_weight: float
    """The weight of AuxK's loss."""


class Measured(NamedTuple):
    """Losses and activity of one batch."""

    mse_M: list[float]
    """The squared error of each prefix, summed over dimensions, mean over rows."""
    l0: float
    """Active latents, mean over rows."""
    l1: float
    """Sum of the latents, mean over rows."""
    aux_loss: float
    """AuxK's loss without its weight; 0 if no latent is dead."""
    active_S: Bool[Tensor, " s"]
    """Whether any row activates a latent."""


@torch.no_grad()
def compute_gradients(
    weights: Weights,
    z_BD: Float[Tensor, "b d"],
    objective: Objective,
    is_dead_S: Bool[Tensor, " s"],
    gradients: Weights,
) -> Measured:
    """Write the gradients of the loss into `gradients`, and measure the batch."""
    W_enc_SD, b_enc_S, W_dec_SD, b_dec_D = weights
    n_rows, width = z_BD.shape
    ends = objective.ends_M.tolist()
    scale = 2 / (len(ends) * n_rows)
    centred_BD = z_BD - b_dec_D
    pre_BS = torch.addmm(b_enc_S, centred_BD, W_enc_SD.T)
    latents_BS = activate(pre_BS, objective)
    active_BS = latents_BS > 0

    errors, mse_M = [], []
    reconstruction_BD = b_dec_D.expand(n_rows, width)
    for first, end in zip([0, *ends], ends, strict=False):
        group = slice(first, end)
        reconstruction_BD = torch.addmm(
            reconstruction_BD, latents_BS[:, group], W_dec_SD[group]
        )
        errors.append(reconstruction_BD - z_BD)
        mse_M.append(errors[-1].square().sum().item() / n_rows)
    residual_BD = -errors[-1]

    # Latents of a group are part of their own prefix and of all longer ones.
    g_BD = torch.zeros_like(z_BD)
    gradient_BS = torch.empty_like(latents_BS)
    for m in reversed(range(len(ends))):
        g_BD += scale * errors[m]
        group = slice(ends[m - 1] if m else 0, ends[m])
        torch.mm(latents_BS[:, group].T, g_BD, out=gradients.W_dec_SD[group])
        gradient_BS[:, group] = g_BD @ W_dec_SD[group].T
    gradient_BS += objective.l1_weight / n_rows
    gradient_BS.masked_fill_(~active_BS, 0)
    torch.mm(gradient_BS.T, centred_BD, out=gradients.W_enc_SD)
    torch.sum(gradient_BS, 0, out=gradients.b_enc_S)

    gradients.b_dec_D.copy_(g_BD.sum(0) - gradients.b_enc_S @ W_enc_SD)
    aux_loss = _learn_from_residual(
        weights, centred_BD, pre_BS, residual_BD, objective, is_dead_S, gradients
    )
    return Measured(
        mse_M=mse_M,
        l0=(active_BS.sum() / n_rows).item(),
        l1=(latents_BS.sum() / n_rows).item(),
        aux_loss=aux_loss,
        active_S=active_BS.any(0),
    )


def activate(
    pre_BS: Float[Tensor, "b s"], objective: Objective
) -> Float[Tensor, "b s"]:
    """The latents of a batch in training; of equal ones the first stay active."""
    latents_BS = pre_BS.relu()
    if objective.l0 is None:
        return latents_BS
    if objective.over_batch:
        largest = latents_BS.view(1, -1)
        n = min(objective.l0 * len(pre_BS), largest.shape[1])
    else:
        largest = latents_BS
        n = min(objective.l0, largest.shape[1])
    # A stable sort, because `topk` chooses arbitrarily among equals.
    order = largest.sort(dim=1, descending=True, stable=True).indices[:, :n]
    kept = torch.zeros_like(largest).scatter_(1, order, largest.gather(1, order))
    return kept.view_as(latents_BS)


def _learn_from_residual(
    weights: Weights,
    centred_BD: Float[Tensor, "b d"],
    pre_BS: Float[Tensor, "b s"],
    residual_BD: Float[Tensor, "b d"],
    objective: Objective,
    is_dead_S: Bool[Tensor, " s"],
    gradients: Weights,
) -> float:
    """AuxK: add the gradients of dead latents; returns the loss without its weight."""
    dead_A = is_dead_S.nonzero()[:, 0]
    n_aux = min(objective.n_aux, len(dead_A))
    if n_aux == 0 or objective.aux_weight == 0:
        return 0.0
    variance = residual_variance(residual_BD)
    if variance == 0:
        return 0.0
    latents_BA = pre_BS[:, dead_A].relu()
    order_BK = latents_BA.sort(dim=1, descending=True, stable=True).indices[:, :n_aux]
    aux_BA = torch.zeros_like(latents_BA)
    aux_BA.scatter_(1, order_BK, latents_BA.gather(1, order_BK))
    W_dec_AD = weights.W_dec_SD[dead_A]
    error_BD = aux_BA @ W_dec_AD - residual_BD
    g_BD = error_BD * (2 * objective.aux_weight / (len(error_BD) * variance))
    gradient_BA = (g_BD @ W_dec_AD.T).masked_fill_(aux_BA == 0, 0)
    gradients.W_dec_SD[dead_A] += aux_BA.T @ g_BD
    gradients.W_enc_SD[dead_A] += gradient_BA.T @ centred_BD
    gradients.b_enc_S[dead_A] += gradient_BA.sum(0)
    return error_BD.square().sum().item() / (len(error_BD) * variance)


def residual_variance(residual_BD: Float[Tensor, "b d"]) -> float:
    """V of the formulas: the mean over rows of |residual - its mean|²."""
    apart_BD = residual_BD - residual_BD.mean(0)
    return apart_BD.square().sum().item() / len(residual_BD)
