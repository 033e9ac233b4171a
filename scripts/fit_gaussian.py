"""Draw random directions as prototypes: the control that never saw an activation."""

from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.gaussian import draw_directions
from vitproto.prototypes.scorer import DotProduct
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_gaussian(
    shards: tuple[Path, ...],
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
    *,
    fit_dataset: str,
    encoder: str,
    method: str,
) -> None:
    """Draw random directions as prototypes.

    Args:
        shards: all shards of some recorded activations; they tell the width.
        layer: which block, counted from 0.
        runs: what to draw, such as k128-seed0: 128 directions by seed 0.
        store: the folder for the checkpoints; those that it holds are not made again.
        manifest: the JSON file that lists them.
        fit_dataset: for the list of checkpoints, like the two below; no activation of
            this data set is used.
        encoder: what the directions are for.
        method: how the prototypes are made.
    """
    acts = Activations.open(shards, layer)
    code = fingerprint("fit_gaussian")
    fitted = {}
    for fit in map(Run.parse, runs):
        settings = {
            "method": "gaussian",
            "n_prototypes": fit.n_prototypes,
            "seed": fit.seed,
            "width": acts.width,
            "code": code,
        }
        fitted[fit] = checkpoint.stored_at(store, fit, settings)
        if not checkpoint.is_stored(fitted[fit], settings):
            directions_KD = draw_directions(fit.n_prototypes, acts.width, fit.seed)
            checkpoint.save(fitted[fit], DotProduct(directions_KD), settings)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    checkpoint.write_manifest(manifest, fitted, family)


if __name__ == "__main__":
    run(fit_gaussian)
