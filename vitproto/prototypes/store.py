"""Folders of checkpoints that studies share; what one holds is not made again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import StoredScorer
from vitproto.study.run import Run


@dataclass(frozen=True)
class Stored:
    """The checkpoints of some runs in a folder.

    Attributes:
        made_by: the settings, data and code that make each run.
        paths: the file of each run, in the order given, whether it exists or not.
        missing: the runs whose file does not exist.
    """

    made_by: Mapping[Run, Mapping[str, Any]]
    paths: dict[Run, Path]
    missing: list[Run]

    def save(self, run: Run, scorer: StoredScorer) -> None:
        """Write the checkpoint of a run that is missing."""
        checkpoint.save(self.paths[run], scorer, self.made_by[run])


def look_up(store: Path, made_by: Mapping[Run, Mapping[str, Any]]) -> Stored:
    """Find which runs a folder of checkpoints holds.

    Args:
        store: the folder.
        made_by: the settings, data and code that make each run.

    Raises:
        ValueError: the file of a run is damaged or was made otherwise.
    """
    paths = {
        run: checkpoint.stored_at(store, run, settings)
        for run, settings in made_by.items()
    }
    missing = [
        run
        for run, path in paths.items()
        if not checkpoint.is_stored(path, made_by[run])
    ]
    return Stored(made_by, paths, missing)
