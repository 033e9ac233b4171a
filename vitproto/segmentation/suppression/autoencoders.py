"""The autoencoder whose latents are suppressed."""

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
    """Read a run's autoencoder, for the activations that it was fitted to.

    Args:
        checkpoints: the JSON file that lists the checkpoints of the run's family.
        family: the run's, whose checkpoints the file should list.
        run_name: which of them.
        acts: the activations that it is to take.
        shard: a file of these, for messages.

    Raises:
        ValueError: the file is another family's, there is no such run, it is no sparse
            autoencoder, or it takes activations of another encoder, layer or width.
    """
    fit = checkpoint.find_run(checkpoints, family, run_name)
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
