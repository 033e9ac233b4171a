"""The loss of one batch and its gradients, by formula, in torch for any device.

step.py computes the same by autograd: read it first. GPUs use this file, CPUs the
faster cpu_gradients.py. B rows of a batch, D width, S latents, M prefixes, A dead
latents.

With z the scaled batch, f = activation((z - b_dec) · W_encᵀ + b_enc) the latents and
ẑ_m = f[:, :end_m] · W_dec[:end_m] + b_dec the reconstruction from prefix m,

    loss = mean over m and rows of |ẑ_m - z|² + l1_weight · mean over rows of Σ f
           + l0_weight · (L0 / l0_target - 1)²
           + aux_weight · mean over rows of |ê - (z - ẑ)|² / V

where L0 is the mean number of active latents, ê the reconstruction of the residual
z - ẑ from the dead latents with the largest positive pre-activations, and V the mean
over rows of the squared distance of the residual from its mean. The residual counts as
a constant, so does b_dec in ê.

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

JumpReLU sets pre-activations up to a threshold of each latent to 0. The true gradient
of the thresholds is 0 almost everywhere; its estimate (Rajamanoharan et al. 2024) uses
the rows whose pre-activation is within half a bandwidth of the threshold. With n their
number,

    threshold[s] : -(threshold[s] · Σ over these rows of W_dec[s] · g_m
                     + n · ∂loss/∂L0 / B) / bandwidth

Only thresholds learn from L0.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitproto.prototypes.sae.objective import Objective


class Weights(NamedTuple):
    """The weights of an autoencoder, or as many values, such as their gradients."""

    W_enc_SD: Float[Tensor, "s d"]
    b_enc_S: Float[Tensor, " s"]
    W_dec_SD: Float[Tensor, "s d"]
    b_dec_D: Float[Tensor, " d"]
    threshold_S: Float[Tensor, " s"]
    """Learned by JumpReLU; 0 for others until BatchTopK's is measured."""

    @classmethod
    def like(cls, other: "Weights") -> "Weights":
        """Zeros of the same shapes, on the same device."""
        return cls(*(torch.zeros_like(tensor) for tensor in other))


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


class Sums(NamedTuple):
    """Sums over some rows of a batch, with which gradients are completed."""

    square_M: np.ndarray
    """Squared errors of each prefix."""
    n_active: int
    l1: float
    active_S: Bool[Tensor, " s"]
    n_window_S: Float[Tensor, " s"]
    """Rows within half a bandwidth of each threshold; 0 without JumpReLU."""


@torch.no_grad()
def compute_gradients(
    weights: Weights,
    z_BD: Float[Tensor, "b d"],
    objective: Objective,
    is_dead_S: Bool[Tensor, " s"],
    gradients: Weights,
) -> Measured:
    """Write the gradients of the loss into `gradients`, and measure the batch."""
    learnt = learn_from_rows(weights, z_BD, objective, len(z_BD), gradients)
    measured = complete(learnt.sums, objective, len(z_BD), gradients)
    aux_loss = _learn_from_residual(
        *(weights, z_BD - weights.b_dec_D, learnt.pre_BS, learnt.residual_BD),
        *(objective, is_dead_S, gradients),
    )
    return measured._replace(aux_loss=aux_loss)


class Learnt(NamedTuple):
    """What is left when gradients of some rows have been written."""

    sums: Sums
    pre_BS: Float[Tensor, "b s"]
    residual_BD: Float[Tensor, "b d"]


@torch.no_grad()
def learn_from_rows(
    weights: Weights,
    z_BD: Float[Tensor, "b d"],
    objective: Objective,
    n_rows: int,
    gradients: Weights,
) -> Learnt:
    """Write the part of the gradients that is a sum over rows, for some of them.

    Args:
        weights: the autoencoder's.
        z_BD: the rows.
        objective: the loss.
        n_rows: the rows of the whole batch, over which losses are means.
        gradients: overwritten.
    """
    W_enc_SD, b_enc_S, W_dec_SD, b_dec_D, threshold_S = weights
    ends = objective.ends_M.tolist()
    scale = 2 / (len(ends) * n_rows)
    centred_BD = z_BD - b_dec_D
    pre_BS = torch.addmm(b_enc_S, centred_BD, W_enc_SD.T)
    latents_BS = activate(pre_BS, threshold_S, objective)
    active_BS = latents_BS > 0

    errors, square_M = [], []
    reconstruction_BD = b_dec_D.expand_as(z_BD)
    for first, end in zip([0, *ends], ends, strict=False):
        group = slice(first, end)
        reconstruction_BD = torch.addmm(
            reconstruction_BD, latents_BS[:, group], W_dec_SD[group]
        )
        errors.append(reconstruction_BD - z_BD)
        square_M.append(errors[-1].square().sum().item())

    # Latents of a group are part of their own prefix and of all longer ones.
    g_BD = torch.zeros_like(z_BD)
    gradient_BS = torch.empty_like(latents_BS)
    for m in reversed(range(len(ends))):
        g_BD += scale * errors[m]
        group = slice(ends[m - 1] if m else 0, ends[m])
        torch.mm(latents_BS[:, group].T, g_BD, out=gradients.W_dec_SD[group])
        gradient_BS[:, group] = g_BD @ W_dec_SD[group].T
    if objective.jump is None:
        gradients.threshold_S.zero_()
        n_window_S = torch.zeros_like(threshold_S)
    else:
        in_window_BS = (pre_BS - threshold_S).abs() < objective.jump.bandwidth / 2
        n_window_S = in_window_BS.sum(0).to(threshold_S)
        torch.sum(gradient_BS * in_window_BS, 0, out=gradients.threshold_S)
        gradients.threshold_S.mul_(-threshold_S / objective.jump.bandwidth)
    gradient_BS += objective.l1_weight / n_rows
    gradient_BS.masked_fill_(~active_BS, 0)
    torch.mm(gradient_BS.T, centred_BD, out=gradients.W_enc_SD)
    torch.sum(gradient_BS, 0, out=gradients.b_enc_S)
    gradients.b_dec_D.copy_(g_BD.sum(0) - gradients.b_enc_S @ W_enc_SD)
    sums = Sums(
        square_M=np.array(square_M),
        n_active=int(active_BS.sum()),
        l1=latents_BS.sum().item(),
        active_S=active_BS.any(0),
        n_window_S=n_window_S,
    )
    return Learnt(sums, pre_BS, -errors[-1])


def complete(
    sums: Sums, objective: Objective, n_rows: int, gradients: Weights
) -> Measured:
    """Add the gradient of L0, which depends on all rows; measure the batch."""
    l0 = sums.n_active / n_rows
    if objective.jump is not None:
        slope = objective.jump.l0_slope(l0) / (objective.jump.bandwidth * n_rows)
        gradients.threshold_S.sub_(slope * sums.n_window_S)
    return Measured(
        mse_M=(sums.square_M / n_rows).tolist(),
        l0=l0,
        l1=sums.l1 / n_rows,
        aux_loss=0.0,
        active_S=sums.active_S,
    )


def activate(
    pre_BS: Float[Tensor, "b s"],
    threshold_S: Float[Tensor, " s"],
    objective: Objective,
) -> Float[Tensor, "b s"]:
    """The latents of a batch in training; of equal ones the first stay active."""
    if objective.jump is not None:
        return pre_BS.masked_fill(pre_BS <= threshold_S, 0)
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
