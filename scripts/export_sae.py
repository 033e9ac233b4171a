"""Write a sparse autoencoder in the format of the saev project."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.checkpoint import load
from vitproto.prototypes.sae.saev_format import write_saev


def export_sae(file: Path, out: Path) -> None:
    """Write a sparse autoencoder in the format of the saev project.

    Args:
        file: A `.safetensors` file from a study's store.
        out: The sae.pt to write. It expects unscaled activations.
    """
    sae = load(file)
    if not isinstance(sae, SparseAutoencoder):
        raise ValueError(
            f"{file} holds {type(sae).__name__}, not a sparse autoencoder: only "
            "those can be exported"
        )
    write_saev(out, sae)


if __name__ == "__main__":
    run(export_sae)
