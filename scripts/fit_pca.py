"""Use the principal components of all patches as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import pca
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.scorer import CentredDotProduct
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_pca(
    shards: tuple[Path, ...],
    splits: Path,
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
) -> None:
    """Use the principal components of all patches as prototypes.

    Each component gives two prototypes, one for each sign. A larger run starts with the
    prototypes of a smaller one.

    Args:
        shards: all shards of the activations to fit to.
        splits: the CSV file with the splits of their images; test images are left out.
        store: the folder for the checkpoints; existing ones are kept.
        checkpoints: the JSON file to write, which lists them.
        runs: the runs to fit, such as k128-seed0: 64 components with both signs. PCA
            has no seed; write 0.
        family: which activations these are, for the list of checkpoints.
    """
    acts = open_training_images(shards, family.layer, splits)
    settings = {
        "method": "pca",
        "layer": family.layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_pca"),
    }
    made_by = {
        fit: {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
        for fit in map(Run.parse, runs)
    }
    for fit in made_by:
        pca.check_n_prototypes(fit.n_prototypes, acts.width)
    stored = look_up(store, made_by)
    if stored.missing:
        components = pca.fit(acts)
        share_D = components.variance_D.cumsum(0) / components.variance_D.sum()
    for fit in stored.missing:
        directions_KD = pca.directions(components, fit.n_prototypes)
        stored.save(fit, CentredDotProduct(directions_KD, components.mean_D))
        n_components = fit.n_prototypes // 2
        logging.info(
            "%d components hold %.1f %% of the variance",
            *(n_components, 100 * share_D[n_components - 1]),
        )
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(fit_pca)
