"""Read an autoencoder that this study did not train."""

from pathlib import Path
from typing import Any

from vitproto.activations.stream import Activations
from vitproto.core.files import sha256_of
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.prototypes.sae.saelens_format import read_saelens
from vitproto.prototypes.sae.saev_format import (
    AS_THE_HEADER_SAYS,
    Reading,
    read_saev,
)
from vitproto.study.imported import SAELENS_WEIGHTS


def identify(file: Path, reading: Reading, cfg: Path | None) -> dict[str, Any]:
    """What a checkpoint is made of, for its settings: files by content, and `reading`.

    Args:
        file, reading, cfg: as for `read_autoencoder`.
    """

    def digest(path: Path | None) -> str | None:
        return None if path is None else sha256_of(path).hex()

    return {
        "file": file.name,
        "sha256": digest(file),
        "subtract_b_dec_before_encoding": reading.subtract_b_dec_before_encoding,
        "saelens_cfg": digest(cfg),
        "scaling_mean": digest(reading.mean),
        "scaling_norm": reading.norm,
    }


def read_autoencoder(
    path: Path,
    acts: Activations,
    shard: Path,
    reading: Reading = AS_THE_HEADER_SAYS,
    cfg: Path | None = None,
) -> tuple[SparseAutoencoder, dict[str, Any]]:
    """Read an autoencoder for these activations.

    Args:
        path: a sae.pt of the saev project, a sae_weights.safetensors of SAELens, or
            another .safetensors file, which is ours.
        acts: the activations that it will score.
        shard: a file of these, for messages.
        reading: what a sae.pt does not say.
        cfg: the cfg.json of SAELens.

    Returns:
        The autoencoder, and `fitted_to` with what its file says that it was fitted to;
        empty for files of others, which do not say.

    Raises:
        ValueError: the file cannot be read, or it was fitted to other activations, or
            it is no sae.pt and needs no `reading`.
    """
    fitted_to = {}
    if path.suffix == ".safetensors" and reading != AS_THE_HEADER_SAYS:
        raise ValueError(
            f"{path} says itself how it is read: leave out "
            "subtract_b_dec_before_encoding and scaling, which are for a sae.pt"
        )
    if path.name == SAELENS_WEIGHTS:
        sae = read_saelens(path, cfg)
    elif path.suffix == ".safetensors":
        sae = checkpoint.load_as(path, SparseAutoencoder)
        check_fitted_to(path, acts, shard)
        made_by = checkpoint.read_settings(path)
        fitted_to = {key: made_by[key] for key in ("fitted_to",) if key in made_by}
    else:
        sae = read_saev(path, reading)
    if sae.width != acts.width:
        raise ValueError(
            f"{path} takes activations of width {sae.width}, but those in {shard} "
            f"have {acts.width}: it was trained on another encoder than this row's"
        )
    return sae, fitted_to
