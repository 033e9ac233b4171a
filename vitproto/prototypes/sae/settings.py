"""The settings of a sparse autoencoder and of how it is trained."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from vitproto.core.bounds import (
    Count,
    Index,
    NotNegative,
    Positive,
    check_bounds,
)
from vitproto.prototypes.sae.objective import Jump
from vitproto.study.sae_rules import count_steps, impossible_settings


@dataclass(frozen=True)
class SaeSettings:
    """The architecture and training of a kind of sparse autoencoder.

    Number of latents, learning rate, sparsity and seed belong to its runs.
    """

    activation: Literal["relu", "topk", "batchtopk", "jumprelu"]
    """The loss is the squared error summed over dimensions, mean over the batch. `relu`
    adds `sparsity` × the mean L1 norm of the latents to it. `topk` keeps the `sparsity`
    largest latents of each patch (Gao et al. 2024). `batchtopk` keeps the `sparsity` ×
    `batch_size` largest of a batch (Bussmann et al. 2024); when training has ended, a
    threshold is measured that keeps `sparsity` of each patch on average. `jumprelu`
    learns a threshold for each latent, such that `sparsity` of them are active on
    average (Rajamanoharan et al. 2024)."""
    prefixes: Literal["none", "fixed", "random"]
    """Matryoshka: the first latents alone must reconstruct too. `fixed` halves their
    number again and again. `random` draws new prefixes at every step, uniformly on a
    logarithmic scale (Bussmann et al. 2025). `none`, with `n_prefixes` 1, is an
    ordinary autoencoder."""
    n_prefixes: Count
    """Number of prefixes, counting all latents as one; the loss is their mean."""
    trains: Literal["all", "encoder", "nothing"]
    """The parts that are trained. Two controls: `encoder` keeps the decoder as
    initialised, `nothing` keeps both."""
    start: Literal["random", "data"]
    """Initial rows of the decoder: random directions, or those of random patches
    (`data`), of length 1. The encoder starts with the same directions."""
    encoder_start: Positive
    """Initial length of the encoder's rows. Below 1, `jumprelu` finds more directions
    at the same L0. So does `relu` with a large learning rate; with a small one, more of
    its latents stay active (docs/sae_recovery.md)."""
    scale_mean: bool
    """Whether the mean activation is subtracted first."""
    scale_norm: bool
    """Whether activations are divided by one number, so that their mean norm is 1.
    Losses, gradients and their weights then do not depend on the width. Mean and norm
    are kept in the checkpoint."""
    n_scaling: Count
    """Patches on which mean, norm and the threshold of `batchtopk` are measured."""
    n_patches: Count
    """Patches to train on. Each pass over the data comes in another order."""
    batch_size: Count
    """Patches in a batch."""
    n_mixed: Count
    """Patches that are read and shuffled together. Twice as many are in memory."""
    n_lr_warmup: Index
    """Steps over which the learning rate rises to its value."""
    n_lr_decay: Index
    """Last steps, over which the learning rate falls to 0."""
    n_sparsity_warmup: Index
    """Steps over which the weight of sparsity rises to its value: of the L1 norm with
    `relu`, `l0_weight` with `jumprelu`; 0 with others."""
    l0_weight: NotNegative
    """Weight of the loss (L0 / `sparsity` - 1)² of `jumprelu`; 0 with others."""
    bandwidth: NotNegative
    """A threshold of `jumprelu` learns from the pre-activations within half a bandwidth
    of it; 0 with others. Scaled activations have a norm of 1."""
    max_gradient_norm: Positive
    """Longer gradients are scaled to this norm. A norm that most gradients exceed makes
    steps of the same size early and late, which Adam alone does not: its running mean
    of squares keeps the large gradients of the first steps for long."""
    n_until_dead: Count
    """Patches without activity after which a latent counts as dead."""
    n_aux: Index
    """AuxK: number of dead latents that learn to reconstruct what the others leave
    (Gao et al. 2024); 0 leaves the dead alone, as it must with `relu`."""
    aux_weight: NotNegative
    """Weight of the loss of AuxK: the squared error with which dead latents reconstruct
    the residual, relative to its variance."""
    stream_seed: Index
    """Decides the order of patches, which all runs share. The seed of a run decides
    where training starts."""

    def __post_init__(self) -> None:
        check_bounds(self)
        for _, text in impossible_settings(vars(self)):
            raise ValueError(text)

    @property
    def n_steps(self) -> int:
        """Steps of training."""
        return count_steps(vars(self))

    def learning_rate(self, peak: float, step: int) -> float:
        """The learning rate at a step, counted from 0: up, level, down to 0."""
        up = (step + 1) / max(1, self.n_lr_warmup)
        down = (self.n_steps - step) / max(1, self.n_lr_decay)
        return peak * min(1.0, up, down)

    def l1_weight(self, sparsity: float, step: int) -> float:
        """The weight of the L1 norm at a step; 0 for those that count latents."""
        if self.activation != "relu":
            return 0.0
        return sparsity * self._sparsity_warmup(step)

    def jump(self, sparsity: float, step: int) -> Jump | None:
        """How JumpReLU learns its thresholds at a step; None for others."""
        if self.activation != "jumprelu":
            return None
        weight = self.l0_weight * self._sparsity_warmup(step)
        return Jump(float(sparsity), weight, self.bandwidth)

    def _sparsity_warmup(self, step: int) -> float:
        return min(1.0, (step + 1) / max(1, self.n_sparsity_warmup))

    def prefix_ends(
        self, n_latents: int, seed: int, step: int
    ) -> Int64[np.ndarray, " m"]:
        """Where the prefixes of a step end, rising; the last one holds all latents.

        Fewer than `n_prefixes` where some coincide.
        """
        n_inner = self.n_prefixes - 1
        if self.prefixes == "fixed":
            inner = n_latents >> np.arange(1, n_inner + 1)
        else:  # with `none` there is no inner prefix
            rng = np.random.default_rng([seed, 4, step])
            inner = np.exp(rng.random(n_inner) * np.log(n_latents)).astype(np.int64)
        return np.unique([*inner[inner > 0], n_latents]).astype(np.int64)
