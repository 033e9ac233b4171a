"""Read effects off a class's curve: at a given edit length, or at a given loss.

The curve of an edit begins with no edit, where length, loss and collateral are 0, leads
through its doses by length, and is linear in between.

P points, M test images, O doses.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from vitproto.segmentation.suppression.terms import HALF


@dataclass(frozen=True)
class Reading:
    """Effects at one point of a curve, with the influence of each image on them."""

    length: float
    loss: float
    collateral: float
    loss_M: Float64[np.ndarray, " m"]
    collateral_M: Float64[np.ndarray, " m"]
    is_before_first: bool
    """Whether this lies between no edit and the shortest that was measured, where a
    straight line is all that one knows."""

    @property
    def specificity(self) -> float:
        """Loss - collateral."""
        return self.loss - self.collateral

    @property
    def specificity_M(self) -> Float64[np.ndarray, " m"]:
        """The influence of each image on the specificity."""
        return self.loss_M - self.collateral_M


@dataclass(frozen=True)
class Curve:
    """The effects of one kind of edit on a class, by length; begins with no edit."""

    length_P: Float64[np.ndarray, " p"]
    loss_P: Float64[np.ndarray, " p"]
    collateral_P: Float64[np.ndarray, " p"]
    loss_PM: Float64[np.ndarray, "p m"]
    collateral_PM: Float64[np.ndarray, "p m"]

    @classmethod
    def through(
        cls,
        length_O: Float64[np.ndarray, " o"],
        loss_O: Float64[np.ndarray, " o"],
        collateral_O: Float64[np.ndarray, " o"],
        loss_OM: Float64[np.ndarray, "o m"],
        collateral_OM: Float64[np.ndarray, "o m"],
    ) -> "Curve":
        """The curve through the doses, in any order."""
        order = np.argsort(length_O, kind="stable")
        parts = (length_O, loss_O, collateral_O, loss_OM, collateral_OM)
        return cls(
            *(np.concatenate([np.zeros_like(part[:1]), part[order]]) for part in parts)
        )

    def at_length(self, length: float) -> Reading | None:
        """Read at a length; None beyond the longest edit."""
        if length > self.length_P[-1]:
            return None
        p = max(int(np.searchsorted(self.length_P, length)), 1)
        step = self.length_P[p] - self.length_P[p - 1]
        share = (length - self.length_P[p - 1]) / step if step > 0 else 1.0
        return self._between(p, share)

    def at_loss(self, loss: float = HALF) -> Reading | None:
        """Read where the loss first reaches a value above 0; None if it never does.

        The point itself depends on the images, which is part of their influence.
        """
        reached = np.flatnonzero(self.loss_P >= loss)
        if not len(reached):
            return None
        p = int(reached[0])
        rise = self.loss_P[p] - self.loss_P[p - 1]
        at = self._between(p, (loss - self.loss_P[p - 1]) / rise)
        slope = (self.collateral_P[p] - self.collateral_P[p - 1]) / rise
        return replace(
            at,
            loss_M=np.zeros_like(at.loss_M),
            collateral_M=at.collateral_M - slope * at.loss_M,
        )

    def _between(self, p: int, share: float) -> Reading:
        """Read between the points p - 1 and p, at a share of the way."""

        numbers = [
            float((1 - share) * part_P[p - 1] + share * part_P[p])
            for part_P in (self.length_P, self.loss_P, self.collateral_P)
        ]
        influences = [
            (1 - share) * part_PM[p - 1] + share * part_PM[p]
            for part_PM in (self.loss_PM, self.collateral_PM)
        ]
        is_before_first = p == 1 and bool(share < 1)
        return Reading(*numbers, *influences, is_before_first)
