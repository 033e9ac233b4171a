"""Write the file of image scores that `score_file` reads."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import h5py

from vitproto.activations.stream import Activations
from vitproto.core.hdf5_file import whole_hdf5, write_attributes, write_strings
from vitproto.prototypes.checkpoint import FittedRun
from vitproto.study.family import ScoredFamily


@contextmanager
def create_scores(
    path: Path,
    family: ScoredFamily,
    acts: Activations,
    fitted: Sequence[FittedRun],
    code: str,
) -> Iterator[list[h5py.Dataset]]:
    """Create a file of image scores, which appears whole or not at all.

    Args:
        path: the HDF5 file.
        family: whose scores they are.
        acts: the activations that are scored.
        fitted: the runs of the family.
        code: the fingerprint of the stage.

    Yields:
        An empty table of N images × K prototypes for each run.
    """
    with whole_hdf5(path) as file:
        made_of = {
            "activations": json.dumps(acts.attributes, sort_keys=True),
            "code": code,
            "n_images": acts.n_images,
        }
        write_attributes(file, asdict(family) | made_of)
        write_strings(file, "image_ids", acts.image_ids)
        tables = []
        for fit in fitted:
            shape = (acts.n_images, fit.run.n_prototypes)
            table = file.create_dataset(f"{fit.name}/scores_NK", shape, "f4")
            write_attributes(table, {"checkpoint_sha256": fit.sha256})
            tables.append(table)
        yield tables
