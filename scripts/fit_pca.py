"""Find the principal components of all patches, as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.cli import run
from vitproto.prototypes import checkpoint, pca
from vitproto.prototypes.scorer import CentredDotProduct
from vitproto.runs import Run
from vitproto.study.fingerprint import fingerprint


def fit_pca(
    shards: tuple[Path, ...],
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
) -> None:
    """Find the principal components of all patches, as prototypes.

    Each component gives two prototypes, one for each of its signs. A smaller run is
    the beginning of a larger one.

    Args:
        shards: all shards of the activations to fit to.
        layer: which block, counted from 0.
        runs: how many prototypes, such as k128-seed0: 64 components with both signs.
            PCA has no seed; write 0.
        store: the folder for the checkpoints, `{run}.safetensors`.
        manifest: the JSON file that lists them.
    """
    acts = Activations.open(shards, layer)
    wanted = [Run.parse(name) for name in runs]
    for fit in wanted:
        pca.check_n_prototypes(fit.n_prototypes, acts.width)
    code = fingerprint("fit_pca")
    components = pca.fit(acts)
    share_D = components.variance_D.cumsum(0) / components.variance_D.sum()
    fitted = {}
    for fit in wanted:
        settings = {
            "method": "pca",
            "n_prototypes": fit.n_prototypes,
            "seed": fit.seed,
            "layer": layer,
            "fitted_to": acts.attributes,
            "code": code,
        }
        directions_KD = pca.directions(components, fit.n_prototypes)
        fitted[fit] = store / f"{fit.name}.safetensors"
        scorer = CentredDotProduct(directions_KD, components.mean_D)
        checkpoint.save(fitted[fit], scorer, settings)
        n_components = fit.n_prototypes // 2
        logging.info(
            "%d components hold %.1f %% of the variance",
            *(n_components, 100 * share_D[n_components - 1]),
        )
    checkpoint.write_manifest(manifest, fitted)


if __name__ == "__main__":
    run(fit_pca)
