"""One training step of a sparse autoencoder, in plain torch: start reading here.

Training takes the same step with faster code:

    learner.py          calls the others, and keeps the state between steps
    gradients.py        loss and gradients without autograd, for GPUs
    cpu_gradients.py    the same for CPUs, with the loops of kernels.py
    adam.py             clipping and Adam, in torch for GPUs, by kernels.py for CPUs
    calibration.py      after the last step: BatchTopK's threshold

tests/prototypes/sae/test_step.py holds them equal to this file, for every kind of
autoencoder. B rows of a batch, D width, S latents, A dead latents.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitproto.prototypes.sae.adam import BETA_1, BETA_2, EPSILON
from vitproto.prototypes.sae.gradients import Weights
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.objective import Jump, Objective


def take_step(learner: Learner, z_BD: Float[Tensor, "b d"]) -> float:
    """Change `learner` as `learner.learn` does; returns the loss before the step.

    Args:
        learner: weights, Adam's moments, and when each latent was last active.
        z_BD: a batch of scaled activations, (x - mean) / norm.
    """
    settings, step = learner.settings, learner.step

    # A latent is dead if none of the last `n_until_dead` patches activated it.
    n_seen = step * settings.batch_size
    is_dead_S = n_seen - learner.last_active_S > settings.n_until_dead

    # Loss and gradients. The objective holds what depends on the step: the prefixes of
    # a Matryoshka autoencoder, and the weight of the L1 norm, which warms up.
    leaves = Weights(*(w.detach().requires_grad_() for w in learner.weights))
    objective = learner.objective()
    loss, latents_BS = loss_and_latents(leaves, z_BD, objective, is_dead_S)
    # Only JumpReLU learns thresholds; for others their gradient is 0.
    gradients = Weights(*torch.autograd.grad(loss, leaves, materialize_grads=True))

    with torch.no_grad():
        # Rows of the decoder keep length 1, so the part of a gradient along its row
        # is removed: it would count in the norm below and in Adam, and move nothing.
        if settings.trains == "encoder":
            gradients.W_dec_SD.zero_()
        W_dec_SD, gradient_SD = learner.weights.W_dec_SD, gradients.W_dec_SD
        gradient_SD -= (gradient_SD * W_dec_SD).sum(1, keepdim=True) * W_dec_SD

        # One norm over all weights; longer gradients are shortened to the maximum.
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        shrink = min(1.0, settings.max_gradient_norm / max(norm, 1e-30))

        # Adam (Kingma & Ba 2015), with bias-corrected moments.
        rate = settings.learning_rate(learner.run.learning_rate, step)
        for weight, gradient, mean, square in zip(
            learner.weights, gradients, *learner.moments, strict=True
        ):
            gradient = shrink * gradient
            mean.copy_(BETA_1 * mean + (1 - BETA_1) * gradient)
            square.copy_(BETA_2 * square + (1 - BETA_2) * gradient.square())
            corrected_mean = mean / (1 - BETA_1 ** (step + 1))
            corrected_square = square / (1 - BETA_2 ** (step + 1))
            weight -= rate * corrected_mean / (corrected_square.sqrt() + EPSILON)
        W_dec_SD /= W_dec_SD.norm(dim=1, keepdim=True)
        learner.weights.threshold_S.clamp_(min=0)

    learner.last_active_S[(latents_BS > 0).any(0)] = n_seen + settings.batch_size
    learner.step += 1
    return loss.item()


def loss_and_latents(
    weights: Weights,
    z_BD: Float[Tensor, "b d"],
    objective: Objective,
    is_dead_S: Bool[Tensor, " s"],
) -> tuple[Float[Tensor, ""], Float[Tensor, "b s"]]:
    """The loss that a step minimises, and the latents of the batch.

    The loss is the sum of

    - the squared error of ẑ, summed over dimensions, mean over the batch and over
      prefixes: Matryoshka autoencoders must reconstruct from their first latents alone,
      others have one prefix, all;
    - with ReLU, a weight times the L1 norm of the latents; with JumpReLU, a weight
      times (L0 / target - 1)²; TopK and BatchTopK limit the number of active latents
      instead;
    - AuxK: how badly the dead latents with the largest pre-activations reconstruct the
      residual, what the living leave of z: the squared error, divided by the variance
      of the residual (Gao et al. 2024).
    """
    centred_BD = z_BD - weights.b_dec_D
    pre_BS = centred_BD @ weights.W_enc_SD.T + weights.b_enc_S
    if objective.jump is None:
        latents_BS = activate(pre_BS, objective)
        loss = objective.l1_weight * latents_BS.sum(1).mean()
    else:
        latents_BS, n_active_B = jump(pre_BS, weights.threshold_S, objective.jump)
        missed = n_active_B.mean() / objective.jump.l0_target - 1
        loss = objective.jump.l0_weight * missed.square()

    for end in objective.ends_M.tolist():
        reconstruction_BD = latents_BS[:, :end] @ weights.W_dec_SD[:end]
        error_BD = reconstruction_BD + weights.b_dec_D - z_BD
        loss = loss + error_BD.square().sum(1).mean() / len(objective.ends_M)

    dead_A = is_dead_S.nonzero()[:, 0]
    n_aux = min(objective.n_aux, len(dead_A))
    if n_aux > 0:
        # Residual and b_dec are constants here: only dead latents learn from it.
        residual_BD = -error_BD.detach()
        fixed_BD = z_BD - weights.b_dec_D.detach()
        dead_BA = fixed_BD @ weights.W_enc_SD[dead_A].T + weights.b_enc_S[dead_A]
        aux_BA = _keep_largest(dead_BA.relu(), n_aux)
        aux_error_BD = aux_BA @ weights.W_dec_SD[dead_A] - residual_BD
        variance = (residual_BD - residual_BD.mean(0)).square().sum(1).mean()
        if variance > 0:
            aux_loss = aux_error_BD.square().sum(1).mean() / variance
            loss = loss + objective.aux_weight * aux_loss
    return loss, latents_BS


def jump(
    pre_BS: Float[Tensor, "b s"], threshold_S: Float[Tensor, " s"], cfg: Jump
) -> tuple[Float[Tensor, "b s"], Float[Tensor, " b"]]:
    """The latents of JumpReLU, and how many of each row are active.

    Both jump where a pre-activation passes its threshold, so the gradient of thresholds
    is 0 almost everywhere. Its estimate (Rajamanoharan et al. 2024) spreads each jump
    over a window around the threshold: a term that is 0, but whose gradient is not.
    """
    is_active_BS = pre_BS > threshold_S
    is_in_window_BS = (pre_BS - threshold_S).abs() < cfg.bandwidth / 2
    zero_S = threshold_S - threshold_S.detach()
    passing_BS = is_in_window_BS * zero_S / cfg.bandwidth
    latents_BS = pre_BS * is_active_BS - threshold_S.detach() * passing_BS
    return latents_BS, (is_active_BS.to(pre_BS) - passing_BS).sum(1)


def activate(
    pre_BS: Float[Tensor, "b s"], objective: Objective
) -> Float[Tensor, "b s"]:
    """The latents: what ReLU, TopK or BatchTopK leaves of the pre-activations."""
    latents_BS = pre_BS.relu()
    if objective.l0 is None:
        return latents_BS
    if objective.over_batch:
        n_active = objective.l0 * len(pre_BS)
        return _keep_largest(latents_BS.view(1, -1), n_active).view_as(latents_BS)
    return _keep_largest(latents_BS, objective.l0)


def _keep_largest(values_RS: Tensor, n: int) -> Tensor:
    """Set all but the `n` largest values of each row to 0; of equals the first stay."""
    # A stable sort, because `topk` chooses arbitrarily among equals.
    order_RS = values_RS.sort(dim=1, descending=True, stable=True).indices
    is_kept_RS = torch.zeros_like(values_RS).scatter(1, order_RS[:, :n], 1.0)
    return values_RS * is_kept_RS
