"""Use the latents of a sparse autoencoder in a file as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.sae.import_check import check_import, report_import
from vitproto.prototypes.sae.imported import identify, read_autoencoder
from vitproto.prototypes.sae.saev_format import Reading
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def import_sae(
    file: Path,
    shards: tuple[Path, ...],
    store: Path,
    checkpoints: Path,
    import_check: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
    subtract_b_dec_before_encoding: bool | None = None,
    saelens_cfg: Path | None = None,
    scaling_mean: Path | None = None,
    scaling_norm: float | None = None,
) -> None:
    """Use the latents of a sparse autoencoder in a file as prototypes.

    Args:
        file: A sae.pt of the saev project, a sae_weights.safetensors of SAELens, or
            another .safetensors file: ours, which another study trained.
        shards: All shards of the activations that it will score, which give the width.
        store: The folder for the checkpoints; existing ones are kept.
        checkpoints: The JSON file to write, with a list of the checkpoints.
        import_check: The CSV file to write, with its NMSE and L0 on some of the images.
        runs: The name of its run in the study, such as k512-seed0, for 512 latents.
        family: Its family in the study, for the list of checkpoints. Files of others do
            not say what they were trained on.
        subtract_b_dec_before_encoding: Whether the encoder of a sae.pt takes x - b_dec;
            None: what its header implies.
        saelens_cfg: The cfg.json that SAELens wrote beside its weights; None for other
            files.
        scaling_mean: A file of torch.save with the mean that a sae.pt was trained to
            see subtracted from activations; None: nothing is subtracted.
        scaling_norm: The number by which they were divided then; None: 1.
    """
    reading = Reading(subtract_b_dec_before_encoding, scaling_mean, scaling_norm)
    acts = Activations.open(shards, family.layer)
    sae, fitted_to = read_autoencoder(file, acts, shards[0], reading, saelens_cfg)
    settings = {
        "method": "imported",
        **identify(file, reading, saelens_cfg),
        "layer": family.layer,
        "code": fingerprint("import_sae"),
        **fitted_to,
    }
    wanted = [Run.parse(name) for name in runs]
    for fit in wanted:
        if fit.n_prototypes != sae.n_prototypes:
            raise ValueError(
                f"{file} has {sae.n_prototypes} latents, but a run asks for "
                f"{fit.n_prototypes}: write n_prototypes: {sae.n_prototypes} in its row"
            )
    report_import(import_check, file, family, check_import(acts, sae))
    stored = look_up(store, dict.fromkeys(wanted, settings))
    for fit in stored.missing:
        stored.save(fit, sae)
        logging.info("%s: %d latents of %s", fit.name, sae.n_prototypes, file)
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(import_sae)
