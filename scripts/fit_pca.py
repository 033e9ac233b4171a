"""Use the principal components of all patches as prototypes."""

import logging

from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import pca
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.fitting import FitJob
from vitproto.prototypes.scorer import CentredDotProduct


def fit_pca(job: FitJob) -> None:
    """Use the principal components of all patches as prototypes.

    Each component gives two prototypes, one for each of its signs: k128-seed0 has 64
    components. A smaller run is the beginning of a larger one. PCA has no seed, so
    write 0.
    """
    acts = job.open_activations()
    stored = job.look_up(acts, fingerprint("fit_pca"))
    for fit in stored.made_by:
        pca.check_n_prototypes(fit.n_prototypes, acts.width)
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
    write_manifest(job.checkpoints, stored.paths, job.family)


if __name__ == "__main__":
    run(fit_pca)
