"""Draw random directions as prototypes: a control that ignores activations."""

from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.gaussian import draw_directions
from vitproto.prototypes.scorer import DotProduct
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_gaussian(
    shards: tuple[Path, ...],
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
) -> None:
    """Draw random directions as prototypes.

    Args:
        shards: All shards of some recorded activations, which give the width.
        store: The folder for the checkpoints; existing ones are kept.
        checkpoints: The JSON file to write, with a list of the checkpoints.
        runs: The runs to draw, such as k128-seed0: 128 directions by seed 0.
        family: Which activations the directions are for, for the list of checkpoints;
            nothing is read of its data set.
    """
    acts = Activations.open(shards, family.layer)
    code = fingerprint("fit_gaussian")
    made_by = {
        fit: {
            "method": "gaussian",
            "n_prototypes": fit.n_prototypes,
            "seed": fit.seed,
            "width": acts.width,
            "code": code,
        }
        for fit in map(Run.parse, runs)
    }
    stored = look_up(store, made_by)
    for fit in stored.missing:
        directions_KD = draw_directions(fit.n_prototypes, acts.width, fit.seed)
        stored.save(fit, DotProduct(directions_KD))
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(fit_gaussian)
