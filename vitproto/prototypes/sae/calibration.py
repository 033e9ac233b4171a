"""The threshold of BatchTopK, which does for single patches what TopK did for a batch.

In training, the largest latents of a batch are active. Later there are no batches: a
latent is active above one threshold, at which training patches have as many active
latents on average as were asked for. It is measured when training has ended. A running
mean over the batches of training (Bussmann et al. 2024) still knows the first ones if
the training is short.

B rows of a batch, D width, S latents.
"""

import logging
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitproto.activations.stream import Activations
from vitproto.core.threads import one_core_each
from vitproto.prototypes.sae.buckets import find_bucket
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.start import sample_batches

ROWS = 512
"""Patches that are encoded together."""

ENOUGH = 0.99
"""The share of the asked L0 below which a warning says that too few are positive."""

Counts = Int64[np.ndarray, " n"]


def calibrate_thresholds(
    learners: Mapping[str, Learner],
    activations: Activations,
    image_N: Int64[np.ndarray, " n"],
    settings: SaeSettings,
) -> None:
    """Set the threshold of each autoencoder, on the patches that measured the scaling.

    Positive floats are ordered as their bits are: a first pass over the patches finds
    the upper 16 bits of the threshold, a second one the lower 16. So it is exact, and
    the latents of all patches are never in memory together.

    Args:
        learners: autoencoders with the activation `batchtopk`, after their last step.
        activations: what they learned from.
        image_N: the images that they learned from.
        settings: their settings.
    """
    upper, n_patches = _count(learners, activations, image_N, settings, None)
    n_wanted = {
        key: int(learner.run.sparsity) * n_patches for key, learner in learners.items()
    }
    buckets = {key: find_bucket(upper[key], n_wanted[key]) for key in learners}
    for key in [key for key, bucket in buckets.items() if bucket is None]:
        # Fewer are positive at all.
        learners[key].weights.threshold_S.zero_()
        l0 = upper[key].sum() / n_patches
        if l0 < ENOUGH * learners[key].run.sparsity:
            logging.warning(
                "%s: only %.2f latents of a patch are positive after training, of the "
                "%g asked for: most are dead, so lower its learning_rate",
                *(learners[key].run.name, l0, learners[key].run.sparsity),
            )
        del buckets[key]
    if not buckets:
        return
    some = {key: learners[key] for key in buckets}
    prefixes = {key: bucket for key, (bucket, _) in buckets.items()}
    lower, _ = _count(some, activations, image_N, settings, prefixes)
    for key, (bucket, n_left) in buckets.items():
        low, _ = find_bucket(lower[key], n_left)
        bound = np.int32((bucket << 16) | low).view(np.float32)
        # Only values above the threshold are active.
        threshold = float(np.nextafter(bound, np.float32(0)))
        learners[key].weights.threshold_S.fill_(threshold)


def _count(
    learners: Mapping[str, Learner],
    activations: Activations,
    image_N: np.ndarray,
    settings: SaeSettings,
    prefixes: Mapping[str, int] | None,
) -> tuple[dict[str, Counts], int]:
    """How many pre-activations have each upper half, and the number of patches.

    With `prefixes`, how many of those with this upper half have each lower one.
    """
    counts = {key: np.zeros(2**16, np.int64) for key in learners}
    n_patches = 0
    which = "upper" if prefixes is None else "lower"
    batches = sample_batches(
        activations, image_N, settings, f"thresholds, {which} halves"
    )
    with one_core_each() as workers:
        for x_BD in batches:
            for key, learner in learners.items():
                prefix = None if prefixes is None else prefixes[key]
                blocks = x_BD.split(ROWS)
                repeat = len(blocks)
                parts = workers.map(
                    _count_block, [learner] * repeat, blocks, [prefix] * repeat
                )
                counts[key] += sum(parts)
            n_patches += len(x_BD)
    return counts, n_patches


@torch.inference_mode()
def _count_block(
    learner: Learner, x_BD: Float[Tensor, "b d"], prefix: int | None
) -> Counts:
    scaling, weights = learner.scaling, learner.weights
    x_BD = x_BD.to(weights.W_enc_SD.device)
    z_BD = (x_BD - scaling.mean_D) / scaling.norm
    pre_BS = torch.addmm(weights.b_enc_S, z_BD - weights.b_dec_D, weights.W_enc_SD.T)
    bits = pre_BS[pre_BS > 0].view(torch.int32)
    upper = bits >> 16
    half = upper if prefix is None else bits[upper == prefix] & 0xFFFF
    return torch.bincount(half, minlength=2**16).cpu().numpy()
