"""Choose patches at random as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.scorer import DotProduct
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_random(
    shards: tuple[Path, ...],
    splits: Path,
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
) -> None:
    """Choose patches at random as prototypes.

    Patches are sampled uniformly over all patches of all training images, without
    replacement. Of two runs with the same seed, the larger starts with the prototypes
    of the smaller, so more prototypes never lose a better one.

    Args:
        shards: all shards of the activations to sample from.
        splits: the CSV file with the splits of their images; test images are left out.
        store: the folder for the checkpoints; existing ones are kept.
        checkpoints: the JSON file to write, which lists them.
        runs: the runs to sample, such as k128-seed0: 128 patches by seed 0.
        family: which activations these are, for the list of checkpoints.
    """
    acts = open_training_images(shards, family.layer, splits)
    settings = {
        "method": "random",
        "layer": family.layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_random"),
    }
    made_by = {
        fit: {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
        for fit in map(Run.parse, runs)
    }
    stored = look_up(store, made_by)
    for fit in stored.missing:
        patches_KD = acts.sample_patches(fit.n_prototypes, fit.seed)
        stored.save(fit, DotProduct(patches_KD))
        logging.info("%s: sampled %d patches", fit.name, len(patches_KD))
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(fit_random)
