"""`Scorer`, the interface of all methods, and the scorers that they share."""

from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """Scores how strongly each prototype is present in each activation.

    A scorer takes activations as the encoder gives them. If its method scales or
    centres them, the scorer does so itself.
    """

    @property
    def n_prototypes(self) -> int:
        """K, the number of prototypes."""
        ...

    @property
    def width(self) -> int:
        """D, the width of the encoder."""
        ...

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Score a batch; higher means that the prototype is present."""
        ...

    def to(self, device: torch.device) -> "Scorer":
        """The same scorer with its weights on `device`."""
        ...


@runtime_checkable
class StoredScorer(Scorer, Protocol):
    """A scorer that can be saved as a checkpoint."""

    KIND: ClassVar[str]
    """The name of this kind of scorer in checkpoints."""
    ARGUMENTS: ClassVar[tuple[str, ...]]
    """The attributes that a checkpoint holds: the arguments of the constructor."""


class DotProduct:
    """Scores are dot products with one direction per prototype.

    Attributes:
        directions_KD: float32, one prototype a row.
        n_prototypes: K.
        width: D, the encoder's.
    """

    KIND = "dot_product"
    ARGUMENTS = ("directions_KD",)

    def __init__(self, directions_KD: Float[Tensor, "k d"]):
        self.directions_KD = directions_KD.float().contiguous()
        self.n_prototypes, self.width = directions_KD.shape

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Score a batch; higher means that the prototype is present."""
        return activations_BD @ self.directions_KD.T

    def to(self, device: torch.device) -> "DotProduct":
        """The same scorer with its directions on `device`."""
        return DotProduct(self.directions_KD.to(device))


class CentredDotProduct:
    """Scores are dot products with centred activations: direction · (x - mean).

    Attributes:
        directions_KD: float32, one prototype a row.
        mean_D: float32; every score is 0 there.
        offset_K: -direction · mean, added to plain dot products.
        n_prototypes: K.
        width: D, the encoder's.
    """

    KIND = "centred_dot_product"
    ARGUMENTS = ("directions_KD", "mean_D")

    def __init__(
        self, directions_KD: Float[Tensor, "k d"], mean_D: Float[Tensor, " d"]
    ):
        self.directions_KD = directions_KD.float().contiguous()
        self.mean_D = mean_D.float()
        products_KD = self.directions_KD.double() * self.mean_D.double()
        self.offset_K = -products_KD.sum(1).float()
        self.n_prototypes, self.width = directions_KD.shape

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Score a batch; higher means that the prototype is present."""
        return activations_BD @ self.directions_KD.T + self.offset_K

    def to(self, device: torch.device) -> "CentredDotProduct":
        """The same scorer with its weights on `device`."""
        return CentredDotProduct(self.directions_KD.to(device), self.mean_D.to(device))


class NegativeDistance:
    """Scores are minus the squared distance to one centre per prototype.

    Computed as 2 x · c - |x|² - |c|², as fast as a dot product, with an error of about
    1e-7 of the activations' squared norm.

    Attributes:
        centres_KD: float32, one prototype a row.
        square_K: the squared norm of each centre.
        n_prototypes: K.
        width: D, the encoder's.
    """

    KIND = "negative_distance"
    ARGUMENTS = ("centres_KD",)

    def __init__(self, centres_KD: Float[Tensor, "k d"]):
        self.centres_KD = centres_KD.float().contiguous()
        self.square_K = self.centres_KD.double().square().sum(1).float()
        self.n_prototypes, self.width = centres_KD.shape

    def __call__(self, activations_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Score a batch; higher means that the prototype is near."""
        square_B1 = activations_BD.square().sum(1, keepdim=True)
        products_BK = activations_BD @ (2 * self.centres_KD.T)
        return products_BK - square_B1 - self.square_K

    def to(self, device: torch.device) -> "NegativeDistance":
        """The same scorer with its centres on `device`."""
        return NegativeDistance(self.centres_KD.to(device))
