"""Draw random directions as prototypes: a control that ignores activations."""

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
        shards: all shards of some recorded activations, which give the width.
        layer: the block, from 0.
        runs: the runs to draw, such as k128-seed0: 128 directions by seed 0.
        store: the folder for the checkpoints; existing ones are kept.
        manifest: the JSON file that lists them.
        fit_dataset: this and the next two are written to the list of checkpoints; no
            activation of this data set is used.
        encoder: the encoder that the directions are for.
        method: the method of the prototypes.
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
