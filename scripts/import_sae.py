"""Use the latents of a sparse autoencoder in a file as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.files import sha256_of
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.sae.imported import read_autoencoder
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def import_sae(
    checkpoint: Path,
    shards: tuple[Path, ...],
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
) -> None:
    """Use the latents of a sparse autoencoder in a file as prototypes.

    Args:
        checkpoint: a sae.pt of the saev project, or a .safetensors file of ours, which
            another study trained.
        shards: all shards of the activations that it will score, which give the width.
        store: the folder for the checkpoints; existing ones are kept.
        checkpoints: the JSON file to write, which lists them.
        runs: its name in the study, such as k512-seed0, for 512 latents.
        family: what the study says of it, for the list of checkpoints; a sae.pt does
            not say what it was trained on.
    """
    acts = Activations.open(shards, family.layer)
    sae, fitted_to = read_autoencoder(checkpoint, acts, shards[0])
    settings = {
        "method": "imported",
        "file": checkpoint.name,
        "sha256": sha256_of(checkpoint).hex(),
        "layer": family.layer,
        "code": fingerprint("import_sae"),
        **fitted_to,
    }
    wanted = [Run.parse(name) for name in runs]
    for fit in wanted:
        if fit.n_prototypes != sae.n_prototypes:
            raise ValueError(
                f"{checkpoint} has {sae.n_prototypes} latents, but a run asks for "
                f"{fit.n_prototypes}: write n_prototypes: {sae.n_prototypes} in its row"
            )
    stored = look_up(store, dict.fromkeys(wanted, settings))
    for fit in stored.missing:
        stored.save(fit, sae)
        logging.info("%s: %d latents of %s", fit.name, sae.n_prototypes, checkpoint)
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(import_sae)
