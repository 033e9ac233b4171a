"""Use the rows of a matrix in a file as prototypes."""

import logging
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.files import sha256_of
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.directions_file import read_directions
from vitproto.prototypes.scorer import DotProduct
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def import_directions(
    file: Path,
    shards: tuple[Path, ...],
    store: Path,
    checkpoints: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
) -> None:
    """Use the rows of a matrix in a file as prototypes: scores are dot products.

    Args:
        file: An .npy file, a .csv file without a header, or a .safetensors file with a
            single tensor: one direction a row.
        shards: All shards of the activations that they will score, which give the
            width.
        store: The folder for the checkpoints; existing ones are kept.
        checkpoints: The JSON file to write, with a list of the checkpoints.
        runs: The name of its run in the study, such as k64-seed0, for 64 directions.
        family: Its family in the study, for the list of checkpoints. The file does not
            say what directions were fitted to.
    """
    acts = Activations.open(shards, family.layer)
    directions_KD = read_directions(file, acts.width)
    settings = {
        "method": "directions",
        "file": file.name,
        "sha256": sha256_of(file).hex(),
        "layer": family.layer,
        "code": fingerprint("import_directions"),
    }
    wanted = [Run.parse(name) for name in runs]
    for fit in wanted:
        if fit.n_prototypes != len(directions_KD):
            raise ValueError(
                f"{file} has {len(directions_KD)} directions, but a run asks for "
                f"{fit.n_prototypes}: write n_prototypes: {len(directions_KD)} in its "
                "row"
            )
    stored = look_up(store, dict.fromkeys(wanted, settings))
    for fit in stored.missing:
        stored.save(fit, DotProduct(directions_KD))
        logging.info("%s: %d directions of %s", fit.name, len(directions_KD), file)
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(import_directions)
