"""Use the centres of clusters of patches as prototypes."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vitproto.activations.sample import sampled
from vitproto.activations.stream import Activations
from vitproto.activations.training_images import open_training_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint, kmeans
from vitproto.prototypes.scorer import DotProduct, NegativeDistance
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_kmeans(
    shards: tuple[Path, ...],
    splits: Path,
    layer: int,
    runs: tuple[str, ...],
    centres: Path,
    store: Path,
    manifest: Path,
    *,
    fit_dataset: str,
    encoder: str,
    method: str,
    score: Literal["dot", "distance"],
    cfg: kmeans.KMeans,
) -> None:
    """Use the centres of clusters of patches as prototypes.

    Both scores have the same centres, which are found once: those that are scored by
    distance are read from the checkpoints of those scored by dot product.

    Args:
        shards: all shards of the activations to sample from.
        splits: the CSV file with their splits; test images are left out.
        layer: the block, from 0.
        runs: the runs to fit, such as k128-seed0: 128 centres of a sample by seed 0.
        centres: the folder for the checkpoints scored by dot product; existing ones
            are kept.
        store: the folder for the checkpoints scored by `score`; the same folder for
            dot.
        manifest: the JSON file that lists the checkpoints in `store`. During the
            fit the sample lies beside it, as large as in the shards.
        fit_dataset: the data set of these activations; this and the next two are
            written to the list of checkpoints.
        encoder: the encoder that recorded them.
        method: the method of the prototypes.
        score: the score of a patch: its dot product with the centre, or the negative
            squared distance from it.
        cfg: settings of k-means.
    """
    acts = open_training_images(shards, layer, splits)
    settings = {
        **dataclasses.asdict(cfg),
        "layer": layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_kmeans"),
    }
    wanted = {}
    for fit in map(Run.parse, runs):
        wanted[fit] = {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
    found = _find_centres(acts, wanted, centres, manifest.parent, cfg)
    if score == "distance":
        found = _score_by_distance(found, wanted, store)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    checkpoint.write_manifest(manifest, found, family)


def _find_centres(
    acts: Activations,
    wanted: Mapping[Run, dict[str, Any]],
    store: Path,
    scratch: Path,
    cfg: kmeans.KMeans,
) -> dict[Run, Path]:
    """Find the checkpoints scored by dot product, and make missing ones."""
    made_by = {fit: {"method": "kmeans", **wanted[fit]} for fit in wanted}
    found = {fit: checkpoint.stored_at(store, fit, made_by[fit]) for fit in wanted}
    missing = [
        fit for fit in wanted if not checkpoint.is_stored(found[fit], made_by[fit])
    ]
    for seed in sorted({fit.seed for fit in missing}):
        with sampled(acts, cfg.n_sample, seed, scratch) as sample:
            for fit in missing:
                if fit.seed == seed:
                    logging.info("%s: %d patches", fit.name, sample.n_patches)
                    centres_KD = kmeans.fit(sample, fit.n_prototypes, cfg.n_iters, seed)
                    checkpoint.save(found[fit], DotProduct(centres_KD), made_by[fit])
    return found


def _score_by_distance(
    centres: Mapping[Run, Path], wanted: Mapping[Run, dict[str, Any]], store: Path
) -> dict[Run, Path]:
    """Write the same centres, scored by the negative squared distance."""
    found = {}
    for fit, path in centres.items():
        made_by = {"method": "kmeansdistance", **wanted[fit]}
        found[fit] = checkpoint.stored_at(store, fit, made_by)
        if not checkpoint.is_stored(found[fit], made_by):
            scorer = checkpoint.load_as(path, DotProduct)
            checkpoint.save(found[fit], NegativeDistance(scorer.directions_KD), made_by)
    return found


if __name__ == "__main__":
    run(fit_kmeans)
