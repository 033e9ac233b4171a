"""The scores of the prototypes that were chosen: small enough to stay with the results.

All that is asked after selection follows from these, without the scores of the others.
N images × C prototypes of a run that any trait, subset or seed chose.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from vitproto.activations.shards import LIBVER
from vitproto.core.files import whole_file
from vitproto.study.family import ScoredFamily
from vitproto.study.run import Run
from vitproto.traits.score_file import ScoreFile, open_score_file

_REMEDY = "delete it and select prototypes again"


class ChosenWriter:
    """Takes the chosen prototypes of run after run; made by `write_chosen`."""

    def __init__(self, file: h5py.File, scored: ScoreFile):
        self._file, self._scored = file, scored

    def add(
        self,
        run: Run,
        prototypes_C: Int[np.ndarray, " c"],
        scores_NK: Float[np.ndarray, "n k"],
    ) -> None:
        """Keep some prototypes of a run.

        Args:
            run: of those that were scored.
            prototypes_C: which ones, ascending, each once.
            scores_NK: of all its prototypes.
        """
        group = self._file.create_group(run.name)
        group.create_dataset("prototypes_C", data=prototypes_C.astype(np.int64))
        table = group.create_dataset("scores_NC", data=scores_NK[:, prototypes_C])
        name = "checkpoint_sha256"
        table.attrs[name] = self._scored.attribute(run, "scores_NK", name)


@contextmanager
def write_chosen(path: Path, scored: ScoreFile, code: str) -> Iterator[ChosenWriter]:
    """Write the scores of chosen prototypes; the file appears when the block ends.

    Args:
        path: the HDF5 file: `image_ids`, and per run `{run}/prototypes_C` and
            `{run}/scores_NC`.
        scored: the scores that they are taken from; the root says all that theirs says.
        code: what chose them, for the root attribute of that name.
    """
    with (
        whole_file(path) as partial,
        h5py.File(partial, "w", libver=LIBVER, locking="best-effort") as file,
    ):
        for name, value in sorted({**scored.attributes, "code": code}.items()):
            file.attrs[name] = value
        ids = scored.image_ids
        file.create_dataset("image_ids", data=ids, dtype=h5py.string_dtype())
        yield ChosenWriter(file, scored)


class ChosenScores:
    """An open file of the scores of chosen prototypes; made by `open_chosen`.

    Attributes:
        image_ids: one per row, in the order of the image list.
        runs: of the family, sorted.
    """

    def __init__(self, file: ScoreFile, family: ScoredFamily):
        self.image_ids, self.runs = file.image_ids, file.runs
        self._file, self._family = file, family

    def scores_of(self, rows: pd.DataFrame) -> Float32[np.ndarray, "n m"]:
        """How strongly does each row's prototype show in each image?

        Args:
            rows: M of `ap.csv`, all of one run of this family.

        Returns:
            A column for each row. Where no prototype could be chosen it is 0 for all
            images: constant scores, whose AP is chance, as the row says.

        Raises:
            ValueError: the rows are of several runs or of another family's, or a
                prototype is not in the file.
        """
        run = self._run_of(rows)
        prototypes_C = self._file.read(run, "prototypes_C")
        scores_NC = self._file.read(run, "scores_NC")
        n_images, n_chosen = len(self.image_ids), len(prototypes_C)
        if scores_NC.shape != (n_images, n_chosen) or scores_NC.dtype != np.float32:
            raise ValueError(
                f"{self._file.path} is damaged: {run.name} has scores of shape "
                f"{scores_NC.shape} in {scores_NC.dtype}, expected float32 of shape "
                f"{(n_images, n_chosen)}: {_REMEDY}"
            )
        is_chosen_M = rows["prototype"].notna().to_numpy()
        wanted = rows["prototype"][is_chosen_M].to_numpy(np.int64)
        unknown = np.setdiff1d(wanted, prototypes_C)
        if len(unknown):
            raise ValueError(
                f"{self._file.path} lacks prototype {unknown[0]} of {run.name}, which "
                "ap.csv says was chosen: select prototypes again"
            )
        scores_NM = np.zeros((n_images, len(rows)), np.float32)
        scores_NM[:, is_chosen_M] = scores_NC[:, np.searchsorted(prototypes_C, wanted)]
        return scores_NM

    def _run_of(self, rows: pd.DataFrame) -> Run:
        """The one run of rows of this family."""
        place = ["dataset", "encoder", "layer", "method"]
        columns = ["n_prototypes", "seed", "learning_rate", "sparsity"]
        found = rows[[*place, *columns]].drop_duplicates()
        if len(found) != 1:
            raise ValueError(f"expected rows of one run, got those of {len(found)}")
        row = found.iloc[0]
        settings = {
            name: None if pd.isna(row[name]) else float(row[name])
            for name in ("learning_rate", "sparsity")
        }
        run = Run(int(row["n_prototypes"]), int(row["seed"]), **settings)
        family = [getattr(self._family, name) for name in place]
        if row[place].tolist() != family or run not in self.runs:
            raise ValueError(
                f"{self._file.path} holds scores of {' '.join(map(str, family))}, not "
                f"of {' '.join(map(str, row[place]))} {run.name}: give the ap.csv that "
                "lies beside it"
            )
        return run


@contextmanager
def open_chosen(
    path: Path, family: ScoredFamily, runs: Collection[str]
) -> Iterator[ChosenScores]:
    """Open what `write_chosen` wrote, which must be this family's with these runs.

    Args:
        path: the HDF5 file.
        family: whose scores it should hold.
        runs: the names of the runs that it should hold, all of them.

    Raises:
        ValueError: it is missing, damaged or another family's, or it lacks a run or
            holds a surplus one.
    """
    with open_score_file(path, family, runs, _REMEDY) as file:
        yield ChosenScores(file, family)
