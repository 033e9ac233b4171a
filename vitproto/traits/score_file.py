"""Files of image scores.

An HDF5 file with `image_ids` and, for each run, a group of tables. Root attributes say
which family was scored on which activations. N images, K prototypes.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vitproto.core.hdf5_file import Hdf5Reader, open_hdf5
from vitproto.study.family import (
    ScoredFamily,
    SelectedFamily,
    check_family,
    check_runs,
)
from vitproto.study.run import Run

_REMEDY = "delete it and score the images again"


class ScoreFile:
    """An open file of image scores; made by `open_score_file`.

    Attributes:
        path: the path of the file.
        file: the file itself.
        attributes: the root attributes: family, activations, code.
        image_ids: one per row of each table.
        runs: the runs that have scores, sorted.
    """

    def __init__(self, file: Hdf5Reader):
        """Read everything but the tables."""
        self.path, self.file = file.path, file
        self.attributes: dict[str, Any] = file.attributes()
        self.image_ids = file.strings("image_ids")
        names = [name for name in file.names() if name != "image_ids"]
        with file.naming_damage():
            self.runs = sorted(map(Run.parse, names))
        n_images = self.attributes.get("n_images")
        if len(self.image_ids) != n_images:
            raise file.damaged(
                f"{n_images} images were scored, {len(self.image_ids)} are listed"
            )

    def read(self, run: Run, table: str) -> np.ndarray:
        """Read a table of a run."""
        return self.file.values(f"{run.name}/{table}")

    def attribute(self, run: Run, table: str, name: str) -> str:
        """Read an attribute of a table."""
        attributes = self.file.attributes(f"{run.name}/{table}")
        with self.file.naming_damage():
            return str(attributes[name])


@contextmanager
def open_score_file(
    path: Path,
    family: ScoredFamily | SelectedFamily,
    runs: Collection[str],
    remedy: str,
) -> Iterator[ScoreFile]:
    """Open a file of image scores, and check it.

    Args:
        path: the file.
        family: the expected family.
        runs: the names of all expected runs.
        remedy: what to do if the check fails, for messages.

    Raises:
        ValueError: the file is missing or damaged, or holds another family or other
            runs.
    """
    with open_hdf5(path, "not a file of scores", remedy) as file:
        scored = ScoreFile(file)
        check_family(path, scored.attributes, family, remedy)
        check_runs(path, [run.name for run in scored.runs], runs, remedy)
        yield scored


@contextmanager
def open_scores(
    path: Path, family: ScoredFamily, runs: Collection[str]
) -> Iterator[ScoreFile]:
    """Open the file that `score_images` wrote; checks it as `open_score_file` does."""
    with open_score_file(path, family, runs, _REMEDY) as scored:
        yield scored


def read_scores(scored: ScoreFile, run: Run) -> np.ndarray:
    """The scores of all images for all prototypes of a run: N × K, float32.

    Raises:
        ValueError: the table is damaged or has another shape.
    """
    scores_NK = scored.read(run, "scores_NK")
    expected = (len(scored.image_ids), run.n_prototypes)
    if scores_NK.shape != expected or scores_NK.dtype != np.float32:
        raise scored.file.damaged(
            f"{run.name} is {scores_NK.dtype} of shape {scores_NK.shape}, expected "
            f"float32 of shape {expected}"
        )
    return scores_NK
