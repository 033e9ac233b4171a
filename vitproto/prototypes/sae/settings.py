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


@dataclass(frozen=True)
class SaeSettings:
    """What a kind of sparse autoencoder is, and how it learns.

    Number of latents, learning rate, sparsity and seed belong to its runs.
    """

    activation: Literal["relu", "topk", "batchtopk"]
    """`relu` adds `sparsity` × the mean L1 norm of the latents to the loss. `topk`
    keeps the `sparsity` largest latents of each patch (Gao et al. 2024). `batchtopk`
    keeps the `sparsity` × `batch_size` largest of a batch, and learns a threshold that
    does the same without a batch (Bussmann et al. 2024)."""
    prefixes: Literal["none", "fixed", "random"]
    """Matryoshka: the first latents alone must reconstruct too. `fixed` halves their
    number again and again. `random` draws new prefixes at every step, uniformly on a
    logarithmic scale (Bussmann et al. 2025). `none`, with `n_prefixes` 1, is an
    ordinary autoencoder."""
    n_prefixes: Count
    """Number of prefixes, counting all latents as one; the loss is their mean."""
    trains: Literal["all", "encoder", "nothing"]
    """What is trained. Two controls: `encoder` keeps the decoder as initialised,
    `nothing` keeps both."""
    start: Literal["random", "data"]
    """Initial rows of the decoder: random directions, or those of random patches
    (`data`). The encoder starts as a copy of the decoder."""
    scale_mean: bool
    """Whether the mean activation is subtracted first."""
    scale_norm: bool
    """Whether activations are divided by one number, so that their mean norm is the
    square root of their width. Mean and norm are kept in the checkpoint."""
    n_scaling: Count
    """Patches on which mean and norm are measured."""
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
    """Steps over which the weight of the L1 norm rises to its value (`relu`)."""
    max_gradient_norm: Positive
    """Longer gradients are scaled to this norm."""
    n_until_dead: Count
    """Patches without activity after which a latent counts as dead."""
    n_aux: Index
    """AuxK: number of dead latents that learn to reconstruct what the others leave
    (Gao et al. 2024); 0 leaves the dead alone."""
    aux_weight: NotNegative
    """Weight of the loss of AuxK."""
    stream_seed: Index
    """Decides the order of patches, which all runs share. The seed of a run decides
    where training starts."""

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def n_steps(self) -> int:
        """Steps of training."""
        if self.trains == "nothing":
            return 0
        return max(1, self.n_patches // self.batch_size)

    def learning_rate(self, peak: float, step: int) -> float:
        """The learning rate at a step, counted from 0: up, level, down to 0."""
        up = (step + 1) / max(1, self.n_lr_warmup)
        down = (self.n_steps - step) / max(1, self.n_lr_decay)
        return peak * min(1.0, up, down)

    def l1_weight(self, sparsity: float, step: int) -> float:
        """The weight of the L1 norm at a step; 0 for those that count latents."""
        if self.activation != "relu":
            return 0.0
        return sparsity * min(1.0, (step + 1) / max(1, self.n_sparsity_warmup))

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
