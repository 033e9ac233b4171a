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

    The control for prototypes from another data set: these come from the evaluated data
    set, but not from its test images. Patches are sampled uniformly over all patches of
    all training images, without replacement. Of two runs with the same seed, the larger
    starts with the prototypes of the smaller.

    Args:
        shards: all shards of the activations of the evaluated data set.
        splits: the CSV file with their splits.
        layer: the block, from 0.
        runs: the runs to sample, such as k128-seed0: 128 patches by seed 0.
        store: the folder for the checkpoints; existing ones are kept.
        manifest: the JSON file that lists them.
        fit_dataset: the data set of these activations; this and the next two are
            written to the list of checkpoints.
        encoder: the encoder that recorded them.
        method: the method of the prototypes.
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
