"""The error of an autoencoder on held-out patches while it trains.

M patches, D width.
"""

from concurrent.futures import Executor
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.prototypes.sae.gradients import Weights, activate
from vitproto.prototypes.sae.learner import Learner, Scaling
from vitproto.prototypes.sae.objective import Objective

N_PATCHES = 8192
"""About how many held-out patches are measured, always the same ones. A difference
between two steps is then more precise than either error."""
ROWS = 512
"""Patches that are encoded together. BatchTopK keeps the largest latents of these: it
has no threshold before training has ended."""


def sample_held_out(
    activations: Activations, image_N: Int64[np.ndarray, " n"], scaling: Scaling
) -> Float[Tensor, "m d"]:
    """Scaled patches of held-out images that are spread evenly over all of them."""
    n_images = min(len(image_N), max(1, N_PATCHES // activations.n_patches))
    i_image_N = image_N[np.arange(n_images) * len(image_N) // n_images]
    x_MD = activations.read_images(i_image_N).flatten(0, 1).to(scaling.mean_D.device)
    return (x_MD - scaling.mean_D) / scaling.norm


def held_out_nmse(
    learner: Learner, z_MD: Float[Tensor, "m d"], workers: Executor
) -> float:
    """Σ |z - ẑ|² / Σ |z - z̄|², with the activation of training; NaN if all are equal.

    Args:
        learner: between two steps.
        z_MD: what `sample_held_out` gave.
        workers: from `one_core_each`; used on CPUs.
    """
    mean_D = z_MD.cpu().numpy().mean(axis=0, dtype=np.float64)
    measure = partial(
        _sums,
        learner.weights,
        learner.objective(),
        torch.from_numpy(mean_D).to(z_MD.device),
    )
    # A GPU needs no workers.
    each = map if z_MD.is_cuda else workers.map
    # In order: the sums must not depend on the number of threads.
    errors, distances = zip(*each(measure, z_MD.split(ROWS)), strict=True)
    variance = sum(distances)
    return sum(errors) / variance if variance > 0 else float("nan")


@torch.inference_mode()
def _sums(
    weights: Weights,
    objective: Objective,
    mean_D: Float[Tensor, " d"],
    z_MD: Float[Tensor, "m d"],
) -> tuple[float, float]:
    """Squared errors, and squared distances from the mean, of some patches."""
    pre_MS = torch.addmm(weights.b_enc_S, z_MD - weights.b_dec_D, weights.W_enc_SD.T)
    latents_MS = activate(pre_MS, weights.threshold_S, objective)
    error_MD = latents_MS @ weights.W_dec_SD + weights.b_dec_D - z_MD
    around_MD = z_MD.double() - mean_D
    return (
        error_MD.double().square().sum().item(),
        around_MD.square().sum().item(),
    )
