"""Use the principal components of all patches as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint, pca
from vitproto.prototypes.scorer import CentredDotProduct
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_pca(
    shards: tuple[Path, ...],
    splits: Path,
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
    *,
    fit_dataset: str,
    encoder: str,
    method: str,
) -> None:
    """Use the principal components of all patches as prototypes.

    Each component gives two prototypes, one for each sign. A larger run starts with the
    prototypes of a smaller one.

    Args:
        shards: all shards of the activations to fit to.
        splits: the CSV file with their splits; test images are left out.
        layer: the block, from 0.
        runs: the runs to fit, such as k128-seed0: 64 components with both signs. PCA
            has no seed; write 0.
        store: the folder for the checkpoints; existing ones are kept.
        manifest: the JSON file that lists them.
        fit_dataset: the data set of these activations; this and the next two are
            written to the list of checkpoints.
        encoder: the encoder that recorded them.
        method: the method of the prototypes.
    """
    acts = open_training_images(shards, layer, splits)
    wanted = [Run.parse(name) for name in runs]
    for fit in wanted:
        pca.check_n_prototypes(fit.n_prototypes, acts.width)
    settings = {
        "method": "pca",
        "layer": layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_pca"),
    }
    fitted = {}
    missing = {}
    for fit in wanted:
        made_by = {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
        fitted[fit] = checkpoint.stored_at(store, fit, made_by)
        if not checkpoint.is_stored(fitted[fit], made_by):
            missing[fit] = made_by
    if missing:
        components = pca.fit(acts)
        share_D = components.variance_D.cumsum(0) / components.variance_D.sum()
    for fit, made_by in missing.items():
        directions_KD = pca.directions(components, fit.n_prototypes)
        scorer = CentredDotProduct(directions_KD, components.mean_D)
        checkpoint.save(fitted[fit], scorer, made_by)
        n_components = fit.n_prototypes // 2
        logging.info(
            "%d components hold %.1f %% of the variance",
            *(n_components, 100 * share_D[n_components - 1]),
        )
    family = FittedFamily(fit_dataset, encoder, layer, method)
    checkpoint.write_manifest(manifest, fitted, family)


if __name__ == "__main__":
    run(fit_pca)
