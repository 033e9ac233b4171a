"""Find the centres of clusters of patches, as prototypes."""

import dataclasses
import logging
from pathlib import Path
from typing import Literal

from vitproto.activations.stream import Activations
from vitproto.cli import run
from vitproto.prototypes import checkpoint, kmeans
from vitproto.prototypes.scorer import DotProduct, NegativeDistance
from vitproto.runs import Run
from vitproto.study.fingerprint import fingerprint


def fit_kmeans(
    shards: tuple[Path, ...],
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
    *,
    score: Literal["dot", "distance"],
    cfg: kmeans.KMeans,
) -> None:
    """Find the centres of clusters of patches, as prototypes.

    Args:
        shards: all shards of the activations to sample from.
        layer: which block, counted from 0.
        runs: how many centres, such as k128-seed0: 128 centres of a sample by seed 0.
        store: the folder for the checkpoints; those that it holds are not made again.
        manifest: the JSON file that lists them.
        score: what a patch scores: its dot product with the centre, or minus its
            squared distance from it.
        cfg: how the centres are found.
    """
    acts = Activations.open(shards, layer)
    wanted = [Run.parse(name) for name in runs]
    code = fingerprint("fit_kmeans")
    fitted = {}
    for fit in wanted:
        settings = {
            "method": {"dot": "kmeans", "distance": "kmeansdistance"}[score],
            "n_prototypes": fit.n_prototypes,
            "seed": fit.seed,
            **dataclasses.asdict(cfg),
            "layer": layer,
            "fitted_to": acts.attributes,
            "code": code,
        }
        fitted[fit] = checkpoint.stored_at(store, fit, settings)
        if not checkpoint.is_stored(fitted[fit], settings):
            patches_MD = acts.sample_patches(cfg.n_sample, fit.seed)
            logging.info("%s: %d patches", fit.name, len(patches_MD))
            centres_KD = kmeans.fit(patches_MD, fit.n_prototypes, cfg.n_iters)
            scorer = {"dot": DotProduct, "distance": NegativeDistance}[score]
            checkpoint.save(fitted[fit], scorer(centres_KD), settings)
    checkpoint.write_manifest(manifest, fitted)


if __name__ == "__main__":
    run(fit_kmeans)
