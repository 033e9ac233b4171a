"""The settings of a sparse autoencoder and of how it is trained."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class SaeSettings:
    """What a kind of sparse autoencoder is, and how it learns.

    Number of latents, learning rate, sparsity and seed are those of its runs.
    """

    activation: Literal["relu", "topk", "batchtopk"]
    """relu adds sparsity × the mean L1 norm of the latents to the loss. topk keeps the
    `sparsity` largest latents of each patch (Gao et al. 2024), batchtopk the sparsity ×
    batch_size largest of a batch, and learns the threshold that does the same without
    a batch (Bussmann et al. 2024)."""
    prefixes: Literal["none", "fixed", "random"]
    """Matryoshka: the first latents alone must reconstruct too. fixed halves the number
    of latents again and again, random draws new prefixes at every step, small ones as
    often as large ones on a logarithmic scale (Bussmann et al. 2025)."""
    n_prefixes: int
    """How many prefixes, all latents among them; the loss is the mean over them."""
    trains: Literal["all", "encoder", "nothing"]
    """encoder leaves the decoder as it was initialised, a control; nothing trains
    nothing at all, another."""
    start: Literal["random", "data"]
    """What the rows of the decoder are in the beginning: random directions, or those
    of random patches. The encoder starts as a copy of the decoder."""
    scale_mean: bool
    """Whether the mean activation is subtracted first."""
    scale_norm: bool
    """Whether activations are divided by one number so that their mean norm is the
    square root of their width."""
    n_scaling: int
    """Patches on which mean and norm are measured, once."""
    n_patches: int
    """Patches to train on; each epoch comes in another order."""
    batch_size: int
    """Patches in a batch."""
    n_mixed: int
    """Patches that are read and shuffled together, in memory twice."""
    n_lr_warmup: int
    """Steps in which the learning rate rises to its value."""
    n_lr_decay: int
    """Steps at the end in which it falls to 0."""
    n_sparsity_warmup: int
    """Steps in which relu's weight of sparsity rises to its value."""
    max_gradient_norm: float
    """A gradient that is longer is shortened to this norm."""
    n_until_dead: int
    """A latent that was not active for so many patches is dead."""
    n_aux: int
    """AuxK: so many dead latents learn to reconstruct what the others leave (Gao et al.
    2024); 0 leaves the dead alone."""
    aux_weight: float
    """The weight of that loss."""
    stream_seed: int
    """Decides the order of patches. It is not the seed of a run, which decides where
    training starts: so all runs share one stream."""

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
