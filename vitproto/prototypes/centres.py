"""Centres of k-means in a folder of checkpoints, found once for both scores."""

import logging
from pathlib import Path

from vitproto.activations.sample import sampled
from vitproto.activations.stream import Activations
from vitproto.prototypes import checkpoint, kmeans
from vitproto.prototypes.scorer import DotProduct, NegativeDistance
from vitproto.prototypes.store import Stored


def find_centres(
    stored: Stored, acts: Activations, scratch: Path, cfg: kmeans.KMeans
) -> None:
    """Find the centres of the runs that are missing; they score by dot product.

    Args:
        stored: the runs; those of one seed share a sample.
        acts: the patches to sample from.
        scratch: the folder that holds a sample meanwhile, as large as in the shards.
        cfg: how centres are found.
    """
    for seed in sorted({fit.seed for fit in stored.missing}):
        with sampled(acts, cfg.n_sample, seed, scratch) as sample:
            for fit in stored.missing:
                if fit.seed == seed:
                    logging.info("%s: %d patches", fit.name, sample.n_patches)
                    centres_KD = kmeans.fit(sample, fit.n_prototypes, cfg.n_iters, seed)
                    stored.save(fit, DotProduct(centres_KD))


def score_by_distance(stored: Stored, centres: Stored) -> None:
    """Write the missing runs, whose score is minus the squared distance from a centre.

    Args:
        stored: the runs scored by distance.
        centres: the same runs scored by dot product, none of which is missing.
    """
    for fit in stored.missing:
        scorer = checkpoint.load_as(centres.paths[fit], DotProduct)
        stored.save(fit, NegativeDistance(scorer.directions_KD))
