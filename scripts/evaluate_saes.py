"""Evaluate every autoencoder of a family on held-out images."""

import json
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.core.device import pick_device
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import read_manifest
from vitproto.prototypes.sae.convergence import convergence_of
from vitproto.prototypes.sae.evaluation import HeldOut, evaluate
from vitproto.prototypes.sae.evaluation_files import (
    load_fitted,
    write_latents,
    write_metrics,
)
from vitproto.study.family import FittedFamily


def evaluate_saes(
    shards: tuple[Path, ...],
    splits: Path,
    checkpoints: Path,
    training: Path,
    sae_metrics: Path,
    latents: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
    held_out_every: int,
    n_correlated: int,
    seed: int,
    device: str,
) -> None:
    """Evaluate every autoencoder of a family on held-out images, in one pass.

    Args:
        shards: All shards of the activations that they were fitted to.
        splits: The CSV file with the splits of their images; test images are left out.
        checkpoints: The JSON file that lists the family's checkpoints.
        training: The CSV file with the training log of the family.
        sae_metrics: The CSV file to write, with a row for each autoencoder.
        latents: The HDF5 file to write: per run `{run}/frequency_S`, the share of
            patches on which a latent is active, and `{run}/mean_value_S`, its mean
            there.
        runs: All runs of the family, such as k512-sparsity32-seed0.
        family: The family of the autoencoders; repeated in each row.
        held_out_every: Every N-th training image was held out from training.
        n_correlated: Most latents, drawn at random, whose correlations are measured.
        seed: Decides which latents these are.
        device: The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
    """
    cfg = HeldOut(held_out_every, n_correlated, seed)
    torch_device = pick_device(device)
    acts = open_training_images(shards, family.layer, splits)
    fitted = read_manifest(checkpoints, family, runs)
    autoencoders = [load_fitted(fit, acts, shards[0]) for fit in fitted]
    convergences = convergence_of(training, [fit.name for fit in fitted])
    results = evaluate(acts, autoencoders, cfg, torch_device)
    made_of = {
        "activations": json.dumps(acts.attributes, sort_keys=True),
        "code": fingerprint("evaluate_saes"),
    }
    write_metrics(sae_metrics, family, fitted, results, convergences)
    write_latents(latents, family, fitted, results, cfg, made_of)


if __name__ == "__main__":
    run(evaluate_saes)
