"""Score every image with every run of a family."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import h5py

from vitproto.activations.shards import LIBVER
from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.files import whole_file
from vitproto.core.progress import progress_bar
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.prototypes.fitted_to import check_fitted_to
from vitproto.study.family import FittedFamily, ScoredFamily
from vitproto.traits.image_scores import score_blocks


def score_images(
    shards: tuple[Path, ...],
    layer: int,
    checkpoints: Path,
    scores: Path,
    *,
    runs: tuple[str, ...],
    dataset: str,
    fit_dataset: str,
    encoder: str,
    method: str,
    device: str,
) -> None:
    """Score every image with every run of a family, in one pass over the data.

    An image's score is the maximum over its patches.

    Args:
        shards: all shards of the activations of the images to score.
        layer: which block, counted from 0.
        checkpoints: the JSON file that lists the family's checkpoints.
        scores: the HDF5 file to write: `image_ids`, and per run `{run}/scores_NK`.
        runs: the runs of the family, all of them, such as k128-seed0.
        dataset: the data set of these images.
        fit_dataset: the data set that the prototypes were fitted to.
        encoder: what recorded the activations.
        method: how the prototypes were made.
        device: auto, cpu, cuda or cuda:1; auto takes a GPU where there is one.
    """
    torch_device = pick_device(device)
    acts = Activations.open(shards, layer)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    fitted = checkpoint.read_manifest(checkpoints, family, runs)
    for fit in fitted:
        check_fitted_to(fit.path, acts, shards[0])
    scorers = [checkpoint.load(fit.path) for fit in fitted]
    for fit, scorer in zip(fitted, scorers, strict=True):
        if scorer.width != acts.width:
            raise ValueError(
                f"{fit.path} scores activations of width {scorer.width}, but those in "
                f"{shards[0]} have {acts.width}: fit and score with the same encoder"
            )
    with (
        whole_file(scores, shared=True) as partial,
        h5py.File(partial, "w", libver=LIBVER, locking="best-effort") as file,
        progress_bar(acts.n_images * acts.n_patches, "patches") as progress,
    ):
        scored = ScoredFamily(**asdict(family), dataset=dataset)
        file.attrs.update(asdict(scored))
        tables = _create_tables(file, acts, fitted)
        for i_first, block in score_blocks(acts, scorers, torch_device):
            for table, scores_BK in zip(tables, block, strict=True):
                table[i_first : i_first + len(scores_BK)] = scores_BK.numpy()
            progress.update(len(block[0]) * acts.n_patches)
    seconds = progress.format_dict["elapsed"]
    logging.info(
        "%s: %d images × %d runs, %.0f images/s, %s patches/s",
        *(scores, acts.n_images, len(fitted), acts.n_images / seconds),
        f"{acts.n_images * acts.n_patches / seconds:,.0f}",
    )


def _create_tables(
    file: h5py.File, acts: Activations, fitted: Sequence[FittedRun]
) -> list[h5py.Dataset]:
    """An empty table per run, in a file that says what its scores come from."""
    file.attrs["activations"] = json.dumps(acts.attributes, sort_keys=True)
    file.attrs["code"] = fingerprint("score_images")
    file.attrs["n_images"] = acts.n_images
    file.create_dataset("image_ids", data=acts.image_ids, dtype=h5py.string_dtype())
    tables = []
    for fit in fitted:
        shape = (acts.n_images, fit.run.n_prototypes)
        table = file.create_dataset(f"{fit.name}/scores_NK", shape, "f4")
        table.attrs["checkpoint_sha256"] = fit.sha256
        tables.append(table)
    return tables


if __name__ == "__main__":
    run(score_images)
