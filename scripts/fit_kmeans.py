"""Use the centres of clusters of patches as prototypes."""

import dataclasses
from pathlib import Path
from typing import Literal

from vitproto.activations.training_images import open_training_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.centres import find_centres, score_by_distance
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.kmeans import KMeans
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_kmeans(
    shards: tuple[Path, ...],
    splits: Path,
    centres: Path,
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
    score: Literal["dot", "distance"],
    cfg: KMeans,
) -> None:
    """Use the centres of clusters of patches as prototypes.

    Both scores have the same centres, which are found once: those that are scored by
    distance are read from the checkpoints of those scored by dot product.

    Args:
        shards: All shards of the activations to sample from.
        splits: The CSV file with the splits of their images; test images are left out.
        centres: The folder for the checkpoints scored by dot product; existing ones are
            kept.
        store: The folder for the checkpoints scored by `score`; the same folder for
            dot.
        checkpoints: The JSON file to write, which lists the checkpoints in `store`. The
            sample lies beside it for a while, as large as it is in the shards.
        runs: The runs to fit, such as k128-seed0: 128 centres of a sample by seed 0.
        family: Which activations these are, for the list of checkpoints.
        score: The score of a patch: its dot product with the centre, or the negative
            squared distance from it.
        cfg: Settings of k-means.
    """
    acts = open_training_images(shards, family.layer, splits)
    settings = {
        **dataclasses.asdict(cfg),
        "layer": family.layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_kmeans"),
    }
    made_by = {
        fit: {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
        for fit in map(Run.parse, runs)
    }
    methods = {
        method: {fit: {"method": method, **made_by[fit]} for fit in made_by}
        for method in ("kmeans", "kmeansdistance")
    }
    stored = look_up(centres, methods["kmeans"])
    find_centres(stored, acts, checkpoints.parent, cfg)
    if score == "distance":
        by_dot, stored = stored, look_up(store, methods["kmeansdistance"])
        score_by_distance(stored, by_dot)
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(fit_kmeans)
