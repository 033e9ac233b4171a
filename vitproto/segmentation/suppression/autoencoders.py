"""Load the autoencoder whose latents are suppressed."""

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
    """Read an autoencoder, and check that it fits the activations.

    Args:
        fitted: its run, and the list of checkpoints.
        acts: the activations to use it with.
        shard: one of their files, for messages.

    Raises:
        ValueError: the list is of another family or lacks the run, the run is not a
            sparse autoencoder, or encoder, layer or width differ.
    """
    fit = checkpoint.find_run(fitted.checkpoints, fitted.family, fitted.run)
    kind = checkpoint.read_kind(fit.path)
    if kind != SparseAutoencoder.KIND:
        raise ValueError(
            f"{fit.path} holds a {kind}, which has no latents to suppress: name a run "
            "of a sparse autoencoder"
        )
    check_fitted_to(fit.path, acts, shard)
    autoencoder = checkpoint.load_as(fit.path, SparseAutoencoder)
    if autoencoder.width != acts.width:
        raise ValueError(
            f"{fit.path} takes activations of width {autoencoder.width}, but these "
            f"have {acts.width}: name the layer and encoder that it was fitted to"
        )
    return autoencoder
