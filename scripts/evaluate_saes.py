"""Measure every autoencoder of a family on held-out images."""

import json
from dataclasses import asdict
from pathlib import Path

import h5py
import pandas as pd

from vitproto.activations.shards import LIBVER
from vitproto.activations.stream import Activations
from vitproto.activations.training_images import open_training_images
from vitproto.core.device import pick_device
from vitproto.core.files import whole_file
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.prototypes.sae.evaluation import Evaluation, HeldOut, evaluate
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run

PER_LATENT = ("frequency_S", "mean_value_S")


def evaluate_saes(
    shards: tuple[Path, ...],
    splits: Path,
    checkpoints: Path,
    sae_metrics: Path,
    latents: Path,
    *,
    runs: tuple[str, ...],
    fit_dataset: str,
    encoder: str,
    layer: int,
    method: str,
    cfg: HeldOut,
    device: str,
) -> None:
    """Measure every autoencoder of a family on held-out images, in one pass.

    Args:
        shards: all shards of the activations that they were fitted to.
        splits: the CSV file with their splits; test images are left out.
        checkpoints: the JSON file that lists the family's checkpoints.
        sae_metrics: the CSV file to write, with a row for each autoencoder.
        latents: the HDF5 file to write: per run `{run}/frequency_S`, the share of
            patches on which a latent is active, and `{run}/mean_value_S`, its mean
            there.
        runs: the runs of the family, all of them, such as k512-sparsity32-seed0.
        fit_dataset: the data set of these activations.
        encoder: repeated in each row.
        layer: which block, counted from 0; repeated in each row.
        method: repeated in each row.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
    """
    torch_device = pick_device(device)
    acts = open_training_images(shards, layer, splits)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    fitted = checkpoint.read_manifest(checkpoints, family, runs)
    for fit in fitted:
        check_fitted_to(fit.path, acts, shards[0])
    autoencoders = [_load(fit, acts) for fit in fitted]
    found = evaluate(acts, autoencoders, cfg, torch_device)
    place = {"encoder": encoder, "layer": layer, "method": method}
    rows = [
        place | _describe(fit.run) | _numbers(result)
        for fit, result in zip(fitted, found, strict=True)
    ]
    with whole_file(sae_metrics) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False, lineterminator="\n")
    with (
        whole_file(latents) as partial,
        h5py.File(partial, "w", libver=LIBVER, locking="best-effort") as file,
    ):
        file.attrs.update({**place, **asdict(cfg), "n_patches": found[0].n_patches})
        file.attrs["activations"] = json.dumps(acts.attributes, sort_keys=True)
        file.attrs["code"] = fingerprint("evaluate_saes")
        for fit, result in zip(fitted, found, strict=True):
            group = file.create_group(fit.name)
            group.attrs["checkpoint_sha256"] = fit.sha256
            for name in PER_LATENT:
                group.create_dataset(name, data=getattr(result, name))


def _describe(fitted: Run) -> dict[str, int | float | None]:
    columns = ("n_prototypes", "learning_rate", "sparsity", "seed")
    return {column: getattr(fitted, column) for column in columns}


def _numbers(result: Evaluation) -> dict[str, int | float]:
    """All but what there is per latent."""
    return {name: v for name, v in asdict(result).items() if name not in PER_LATENT}


def _load(fit: FittedRun, acts: Activations) -> SparseAutoencoder:
    scorer = checkpoint.load(fit.path)
    if not isinstance(scorer, SparseAutoencoder):
        raise ValueError(
            f"{fit.path} holds a {scorer.KIND}, which reconstructs nothing: name a "
            "family of sparse autoencoders"
        )
    if scorer.width != acts.width:
        raise ValueError(
            f"{fit.path} takes activations of width {scorer.width}, but those of layer "
            f"{acts.layer} have {acts.width}: give the shards that it was fitted to"
        )
    return scorer


if __name__ == "__main__":
    run(evaluate_saes)
