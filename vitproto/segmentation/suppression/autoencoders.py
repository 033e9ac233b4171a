"""The autoencoder whose latents are suppressed."""

from dataclasses import dataclass
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.study.family import FittedFamily


@dataclass(frozen=True)
class FittedAutoencoder:
    """One autoencoder of a family."""

    checkpoints: Path
    """The JSON file that lists the checkpoints of the family."""
    fit_dataset: str
    """The data set that the autoencoder was fitted to."""
    encoder: str
    """The encoder that recorded the activations."""
    layer: int
    """The block whose output it takes, counted from 0."""
    method: str
    """How the autoencoder was made."""
    run: str
    """Which run of the family, such as k4096-seed0."""

    @property
    def family(self) -> FittedFamily:
        """The family of the run."""
        return FittedFamily(self.fit_dataset, self.encoder, self.layer, self.method)


def load_autoencoder(
    fitted: FittedAutoencoder, acts: Activations, shard: Path
) -> SparseAutoencoder:
    """Read an autoencoder, for activations like those that it was fitted to.

    Args:
        fitted: which one.
        acts: the activations that it is to take.
        shard: a file of these, for messages.

    Raises:
        ValueError: the list is another family's, there is no such run, it is no sparse
            autoencoder, or it takes activations of another encoder, layer or width.
    """
    fit = checkpoint.find_run(fitted.checkpoints, fitted.family, fitted.run)
    kind = checkpoint.read_kind(fit.path)
    if kind != SparseAutoencoder.KIND:
        raise ValueError(
            f"{fit.path} holds a {kind}, which has no decoder: latents can only be "
            "suppressed in a sparse autoencoder, so name a run of one"
        )
    check_fitted_to(fit.path, acts, shard)
    autoencoder = checkpoint.load_as(fit.path, SparseAutoencoder)
    if autoencoder.width != acts.width:
        raise ValueError(
            f"{fit.path} takes activations of width {autoencoder.width}, but these "
            f"have {acts.width}: name the layer and encoder that it was fitted to"
        )
    return autoencoder
