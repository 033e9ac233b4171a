"""Read the autoencoders that are measured, and write what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from vitproto.activations.stream import Activations
from vitproto.core.csv_file import write_csv
from vitproto.core.hdf5_file import whole_hdf5, write_attributes
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.prototypes.sae.convergence import Convergence
from vitproto.prototypes.sae.evaluation import Evaluation, HeldOut
from vitproto.study.family import FittedFamily

PER_LATENT = ("frequency_S", "mean_value_S")


def load_fitted(fit: FittedRun, acts: Activations, shard: Path) -> SparseAutoencoder:
    """Read an autoencoder of a run, for activations like those it was fitted to.

    Args:
        fit: the run.
        acts: the activations on which it is measured.
        shard: a file of these, for messages.

    Raises:
        ValueError: it is not a sparse autoencoder, or it takes activations of another
            encoder, layer or width.
    """
    check_fitted_to(fit.path, acts, shard)
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


def write_metrics(
    path: Path,
    family: FittedFamily,
    fitted: Sequence[FittedRun],
    results: Sequence[Evaluation],
    convergences: Sequence[Convergence],
) -> None:
    """Write a CSV file with a row for each autoencoder.

    Args:
        path: the file.
        family: that of the autoencoders.
        fitted: their runs.
        results: what was measured of each.
        convergences: how the training of each ended.
    """
    rows = []
    for fit, result, ended in zip(fitted, results, convergences, strict=True):
        setting = {
            "n_prototypes": fit.run.n_prototypes,
            "learning_rate": fit.run.learning_rate,
            "sparsity": fit.run.sparsity,
            "seed": fit.run.seed,
        }
        numbers = {
            name: value
            for name, value in asdict(result).items()
            if name not in PER_LATENT
        }
        rows.append(_place(family) | setting | numbers | ended._asdict())
    write_csv(path, pd.DataFrame(rows))


def write_latents(
    path: Path,
    family: FittedFamily,
    fitted: Sequence[FittedRun],
    results: Sequence[Evaluation],
    cfg: HeldOut,
    made_of: Mapping[str, str],
) -> None:
    """Write an HDF5 file with a group for each autoencoder: the numbers per latent.

    Args:
        path: the file.
        family: that of the autoencoders.
        fitted: their runs.
        results: what was measured of each.
        cfg: how it was measured.
        made_of: attributes of the file that say what it was made of.
    """
    with whole_hdf5(path) as file:
        n_patches = results[0].n_patches
        attributes = {**_place(family), **asdict(cfg), "n_patches": n_patches}
        write_attributes(file, attributes | made_of)
        for fit, result in zip(fitted, results, strict=True):
            group = file.create_group(fit.name)
            write_attributes(group, {"checkpoint_sha256": fit.sha256})
            for name in PER_LATENT:
                group.create_dataset(name, data=getattr(result, name))


def _place(family: FittedFamily) -> dict[str, str | int]:
    return {
        "encoder": family.encoder,
        "layer": family.layer,
        "method": family.method,
    }
