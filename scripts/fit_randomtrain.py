"""Choose patches of training images at random as prototypes."""

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


def fit_randomtrain(
    shards: tuple[Path, ...],
    splits: Path,
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
) -> None:
    """Choose patches of training images at random as prototypes.

    The control for prototypes from another data set: these come from the evaluated data
    set, but not from its test images. Patches are sampled uniformly over all patches of
    all training images, without replacement. Of two runs with the same seed, the larger
    starts with the prototypes of the smaller.

    Args:
        shards: all shards of the activations of the evaluated data set.
        splits: the CSV file with the splits of these images; test images are left out.
        store: the folder for the checkpoints; existing ones are kept.
        checkpoints: the JSON file to write, which lists them.
        runs: the runs to sample, such as k128-seed0: 128 patches by seed 0.
        family: which activations these are, for the list of checkpoints.
    """
    acts = open_training_images(shards, family.layer, splits)
    settings = {
        "method": "randomtrain",
        "layer": family.layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_randomtrain"),
    }
    made_by = {
        fit: {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
        for fit in map(Run.parse, runs)
    }
    stored = look_up(store, made_by)
    for fit in stored.missing:
        patches_KD = acts.sample_patches(fit.n_prototypes, fit.seed)
        stored.save(fit, DotProduct(patches_KD))
        logging.info(
            "%s: sampled %d patches of %d training images",
            *(fit.name, len(patches_KD), acts.n_images),
        )
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(fit_randomtrain)
