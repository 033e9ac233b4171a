"""The loss that a step of training minimises; gradients.py has its formula.

It loads no torch, so that settings are checked fast.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Jump(NamedTuple):
    """How JumpReLU learns its thresholds."""

    l0_target: float
    """The wanted number of active latents, mean over rows."""
    l0_weight: float
    bandwidth: float
    """The width of the window around a threshold from which it learns."""

    def l0_loss(self, l0: float) -> float:
        """The loss of missing the target; 0 at the target, l0_weight at L0 = 0."""
        return self.l0_weight * (l0 / self.l0_target - 1) ** 2

    def l0_slope(self, l0: float) -> float:
        """The derivative of `l0_loss`."""
        return 2 * self.l0_weight * (l0 / self.l0_target - 1) / self.l0_target


class Objective(NamedTuple):
    """The loss that one step minimises."""

    ends_M: Int64[np.ndarray, " m"]
    """The ends of the prefixes; the last one is S."""
    l1_weight: float
    """The weight of the mean L1 norm; 0 unless the activation is ReLU."""
    l0: int | None
    """Active latents per row; None for ReLU and JumpReLU."""
    over_batch: bool
    """Whether `l0` is a mean over the batch (BatchTopK), or holds for each row."""
    n_aux: int
    """Dead latents that reconstruct the residual of each row (AuxK)."""
    aux_weight: float
    """The weight of AuxK's loss."""
    jump: Jump | None
    """For JumpReLU."""

    def sparsity_loss(self, l0: float, l1: float) -> float:
        """The part of the loss that makes latents sparse.

        Args:
            l0: active latents, mean over rows.
            l1: the sum of the latents, mean over rows.
        """
        if self.jump is not None:
            return self.jump.l0_loss(l0)
        return self.l1_weight * l1
