"""Read an autoencoder that this study did not train."""

from pathlib import Path
from typing import Any

from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.prototypes.sae.saev_format import read_saev


def read_autoencoder(
    path: Path, acts: Activations, shard: Path
) -> tuple[SparseAutoencoder, dict[str, Any]]:
    """Read an autoencoder for these activations.

    Args:
        path: a sae.pt of the saev project, or a .safetensors file of ours.
        acts: the activations that it will score.
        shard: a file of these, for messages.

    Returns:
        The autoencoder, and `fitted_to` with what its file says that it was fitted to;
        empty for a sae.pt, which does not say.

    Raises:
        ValueError: the file cannot be read, or it was fitted to other activations.
    """
    fitted_to = {}
    if path.suffix == ".safetensors":
        sae = checkpoint.load_as(path, SparseAutoencoder)
        check_fitted_to(path, acts, shard)
        made_by = checkpoint.read_settings(path)
        fitted_to = {key: made_by[key] for key in ("fitted_to",) if key in made_by}
    else:
        sae = read_saev(path)
    if sae.width != acts.width:
        raise ValueError(
            f"{path} takes activations of width {sae.width}, but those in {shard} "
            f"have {acts.width}: it was trained on another encoder than this row's"
        )
    return sae, fitted_to
