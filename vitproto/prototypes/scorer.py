"""What every way of choosing prototypes comes down to: a scorer."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """How strongly is each prototype present in each activation?

    A scorer takes activations as the encoder gives them. If its method scales or
    centres them, the scorer does so itself.
    """

    n_prototypes: int
    width: int

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Score a batch; higher means that the prototype is present."""
        ...

    def to(self, device: torch.device) -> "Scorer":
        """The same scorer with its weights on `device`."""
        ...


class DotProduct:
    """Scores are dot products with one direction per prototype.

    Attributes:
        directions_KD: float32, one prototype a row.
        n_prototypes: K.
        width: D, the encoder's.
    """

    def __init__(self, directions_KD: Float[Tensor, "k d"]):
        self.directions_KD = directions_KD.float().contiguous()
        self.n_prototypes, self.width = directions_KD.shape

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Score a batch; higher means that the prototype is present."""
        return activations_BD @ self.directions_KD.T

    def to(self, device: torch.device) -> "DotProduct":
        """The same scorer with its directions on `device`."""
        return DotProduct(self.directions_KD.to(device))
