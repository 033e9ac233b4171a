"""Stand-in for part C: the autoencoder whose latents are suppressed."""

from pathlib import Path

from vitproto.prototypes import checkpoint
from vitproto.prototypes.sae.autoencoder import SparseAutoencoder


def load_autoencoder(checkpoints: Path, run_name: str, width: int) -> SparseAutoencoder:
    fitted = {fit.name: fit for fit in checkpoint.read_manifest(checkpoints)}
    autoencoder = checkpoint.load_as(fitted[run_name].path, SparseAutoencoder)
    assert autoencoder.width == width
    return autoencoder
