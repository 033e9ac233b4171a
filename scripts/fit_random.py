"""Choose patches at random as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import DotProduct
from vitproto.runs import Run
from vitproto.study.fingerprint import fingerprint


def fit_random(
    shards: tuple[Path, ...],
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
) -> None:
    """Choose patches at random as prototypes.

    Patches are sampled uniformly over all patches of all images, without
    replacement. Of two runs with the same seed, the smaller is the beginning of the
    larger: more prototypes then never hide a better one.

    Args:
        shards: all shards of the activations to sample from.
        layer: which block, counted from 0.
        runs: what to sample, such as k128-seed0: 128 patches by seed 0.
        store: the folder for the checkpoints, `{run}.safetensors`.
        manifest: the JSON file that lists them.
    """
    acts = Activations.open(shards, layer)
    wanted = [Run.parse(name) for name in runs]
    code = fingerprint("fit_random")
    fitted = {}
    for seed in sorted({fit.seed for fit in wanted}):
        of_seed = sorted(fit for fit in wanted if fit.seed == seed)
        patches_MD = acts.sample_patches(of_seed[-1].n_prototypes, seed)
        for fit in of_seed:
            settings = {
                "method": "random",
                "n_prototypes": fit.n_prototypes,
                "seed": seed,
                "layer": layer,
                "fitted_to": acts.attributes,
                "code": code,
            }
            fitted[fit] = store / f"{fit.name}.safetensors"
            scorer = DotProduct(patches_MD[: fit.n_prototypes])
            checkpoint.save(fitted[fit], scorer, settings)
        logging.info("seed %d: sampled %d patches", seed, len(patches_MD))
    checkpoint.write_manifest(manifest, {fit: fitted[fit] for fit in wanted})


if __name__ == "__main__":
    run(fit_random)
