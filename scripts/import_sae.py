"""Use the latents of a sparse autoencoder in a file as prototypes."""

import hashlib
import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.prototypes.sae.saev_format import read_saev
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def import_sae(
    file: Path,
    shards: tuple[Path, ...],
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
    *,
    fit_dataset: str,
    encoder: str,
    method: str,
) -> None:
    """Use the latents of a sparse autoencoder in a file as prototypes.

    Args:
        file: a sae.pt of the saev project, or a .safetensors file of ours, which
            another study trained.
        shards: all shards of the activations that it will score, which give the width.
        layer: the block that it was trained on, from 0.
        runs: its name in the study, such as k512-seed0, for 512 latents.
        store: the folder for the checkpoints; existing ones are kept.
        manifest: the JSON file that lists them.
        fit_dataset: this and the next two are written to the list of checkpoints; the
            file does not say which data the autoencoder was trained on.
        encoder: the encoder that it was trained on, according to the study.
        method: the name of the autoencoder in the study.
    """
    acts = Activations.open(shards, layer)
    is_ours = file.suffix == ".safetensors"
    sae = checkpoint.load_as(file, SparseAutoencoder) if is_ours else read_saev(file)
    if is_ours:
        check_fitted_to(file, acts, shards[0])
    if sae.width != acts.width:
        raise ValueError(
            f"{file} takes activations of width {sae.width}, but those in {shards[0]} "
            f"have {acts.width}: it was trained on another encoder than this row's"
        )
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    settings = {
        "method": "imported",
        "file": file.name,
        "sha256": sha256,
        "layer": layer,
        "code": fingerprint("import_sae"),
    }
    if is_ours and "fitted_to" in (made_by := checkpoint.read_settings(file)):
        settings["fitted_to"] = made_by["fitted_to"]
    fitted = {}
    for fit in map(Run.parse, runs):
        if fit.n_prototypes != sae.n_prototypes:
            raise ValueError(
                f"{file} has {sae.n_prototypes} latents, but a run asks for "
                f"{fit.n_prototypes}: write n_prototypes: {sae.n_prototypes} in its row"
            )
        fitted[fit] = checkpoint.stored_at(store, fit, settings)
        if not checkpoint.is_stored(fitted[fit], settings):
            checkpoint.save(fitted[fit], sae, settings)
            logging.info("%s: %d latents of %s", fit.name, sae.n_prototypes, file)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    checkpoint.write_manifest(manifest, fitted, family)


if __name__ == "__main__":
    run(import_sae)
