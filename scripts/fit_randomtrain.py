"""Choose patches of training images at random as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import DotProduct
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_randomtrain(
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
    """Choose patches of training images at random as prototypes.

    The control for prototypes from another data set: these know what the images look
    like whose traits are looked for, but have seen no test image. Patches are sampled
    uniformly over all patches of all training images, without replacement. Of two
    runs with the same seed, the smaller is the beginning of the larger.

    Args:
        shards: all shards of the activations of the images whose traits are looked for.
        splits: the CSV file that says which of them are training images.
        layer: which block, counted from 0.
        runs: what to sample, such as k128-seed0: 128 patches by seed 0.
        store: the folder for the checkpoints; those that it holds are not made again.
        manifest: the JSON file that lists them.
        fit_dataset: the data set of these activations, for the list of checkpoints as
            are the two below.
        encoder: what recorded them.
        method: how the prototypes are made.
    """
    acts = open_training_images(shards, layer, splits)
    settings = {
        "method": "randomtrain",
        "layer": layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_randomtrain"),
    }
    fitted = {}
    for fit in map(Run.parse, runs):
        made_by = {**settings, "n_prototypes": fit.n_prototypes, "seed": fit.seed}
        fitted[fit] = checkpoint.stored_at(store, fit, made_by)
        if not checkpoint.is_stored(fitted[fit], made_by):
            patches_KD = acts.sample_patches(fit.n_prototypes, fit.seed)
            checkpoint.save(fitted[fit], DotProduct(patches_KD), made_by)
            logging.info(
                "%s: sampled %d patches of %d training images",
                *(fit.name, len(patches_KD), acts.n_images),
            )
    family = FittedFamily(fit_dataset, encoder, layer, method)
    checkpoint.write_manifest(manifest, fitted, family)


if __name__ == "__main__":
    run(fit_randomtrain)
