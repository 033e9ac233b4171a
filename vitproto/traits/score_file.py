"""Files of image scores.

An HDF5 file with `image_ids` and, for each run, a group of tables. Root attributes say
which family was scored on which activations. N images, K prototypes.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vitproto.core.unreadable import unreadable
from vitproto.study.family import (
    ScoredFamily,
    SelectedFamily,
    check_family,
    check_runs,
)
from vitproto.study.run import Run

# h5py's error depends on which part of a file is damaged.
_DAMAGES = (OSError, KeyError, RuntimeError, TypeError, AttributeError, ValueError)
_REMEDY = "delete it and score the images again"


class ScoreFile:
    """An open file of image scores; made by `open_score_file`.

    Attributes:
        path: the path of the file.
        attributes: the root attributes: family, activations, code.
        image_ids: one per row of each table.
        runs: the runs that have scores, sorted.
    """

    def __init__(self, path: Path, file: h5py.File, remedy: str):
        """Read everything but the tables."""
        self.path = path
        self._file, self._remedy = file, remedy
        with self._named_damage():
            self.attributes: dict[str, Any] = {
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in file.attrs.items()
            }
            self.image_ids = file["image_ids"].asstr()[()].tolist()
            names = [name for name in file if name != "image_ids"]
            self.runs = sorted(map(Run.parse, names))
            if len(self.image_ids) != self.attributes["n_images"]:
                raise ValueError(
                    f"{self.attributes['n_images']} images were scored, "
                    f"{len(self.image_ids)} are listed"
                )

    def read(self, run: Run, table: str) -> np.ndarray:
        """Read a table of a run."""
        with self._named_damage():
            return self._file[f"{run.name}/{table}"][()]

    def attribute(self, run: Run, table: str, name: str) -> str:
        """Read an attribute of a table."""
        with self._named_damage():
            return str(self._file[f"{run.name}/{table}"].attrs[name])

    @contextmanager
    def _named_damage(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGES as error:
            raise _damage(self.path, error, self._remedy) from error


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
    try:
        file = h5py.File(path, "r", locking=False)
    except _DAMAGES as error:
        raise _damage(path, error, remedy) from error
    with file:
        scored = ScoreFile(path, file, remedy)
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
        text = f"{run.name} is {scores_NK.dtype} of shape {scores_NK.shape}"
        error = ValueError(f"{text}, expected float32 of shape {expected}")
        raise _damage(scored.path, error, _REMEDY)
    return scores_NK


def _damage(path: Path, error: Exception, remedy: str) -> ValueError:
    damaged = f"{path} is damaged or no file of scores ({error}): {remedy}"
    return unreadable(path, error, damaged)
