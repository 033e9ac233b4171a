"""Load the autoencoder whose latents are suppressed."""

from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.study.family import FittedFamily


def load_autoencoder(
    checkpoints: Path,
    family: FittedFamily,
    run_name: str,
    acts: Activations,
    shard: Path,
) -> SparseAutoencoder:
    """Read the autoencoder of a run, and check that it fits the activations.

    Args:
        checkpoints: the JSON file that lists the checkpoints of the run's family.
        family: the expected family.
        run_name: the name of the run.
        acts: the activations to use it with.
        shard: one of their files, for messages.

    Raises:
        ValueError: the file lists another family or lacks the run, the run is not a
            sparse autoencoder, or encoder, layer or width differ.
    """
    fit = checkpoint.find_run(checkpoints, family, run_name)
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
