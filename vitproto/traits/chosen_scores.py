"""The scores of chosen prototypes, in a file small enough to keep with the results.

Everything after selection is computed from it, without the scores of other prototypes.
N images, C prototypes of a run that were chosen for any trait, subset or seed.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from vitproto.core.hdf5_file import whole_hdf5, write_attributes, write_strings
from vitproto.study.family import ScoredFamily, SelectedFamily
from vitproto.study.run import Run
from vitproto.traits.score_file import ScoreFile, open_score_file

_REMEDY = "delete it and select prototypes again"


class ChosenWriter:
    """Writes the chosen prototypes run by run; made by `write_chosen`."""

    def __init__(self, file: h5py.File, scored: ScoreFile):
        self._file, self._scored = file, scored

    def add(
        self,
        run: Run,
        prototypes_C: Int[np.ndarray, " c"],
        scores_NK: Float[np.ndarray, "n k"],
    ) -> None:
        """Write the chosen prototypes of a run.

        Args:
            run: one of the runs that were scored.
            prototypes_C: the chosen prototypes, ascending, each once.
            scores_NK: the scores of all prototypes of the run.
        """
        group = self._file.create_group(run.name)
        group.create_dataset("prototypes_C", data=prototypes_C.astype(np.int64))
        table = group.create_dataset("scores_NC", data=scores_NK[:, prototypes_C])
        name = "checkpoint_sha256"
        made_by = self._scored.attribute(run, "scores_NK", name)
        write_attributes(table, {name: made_by})


@contextmanager
def write_chosen(path: Path, scored: ScoreFile, code: str) -> Iterator[ChosenWriter]:
    """Write the scores of chosen prototypes; the file appears when the block ends.

    Args:
        path: the HDF5 file: `image_ids`, and per run `{run}/prototypes_C` and
            `{run}/scores_NC`.
        scored: the file of all scores; its root attributes are copied.
        code: fingerprint of the code that chose them, for the root attribute `code`.
    """
    with whole_hdf5(path) as file:
        attributes = {**scored.attributes, "code": code}
        write_attributes(file, dict(sorted(attributes.items())))
        write_strings(file, "image_ids", scored.image_ids)
        yield ChosenWriter(file, scored)


class ChosenScores:
    """An open file of the scores of chosen prototypes; made by `open_chosen`.

    Attributes:
        path: the path of the file.
        image_ids: one per row, in the order of the image list.
        runs: the runs of the family, sorted.
    """

    def __init__(self, file: ScoreFile, family: ScoredFamily | SelectedFamily):
        self.path, self.image_ids, self.runs = file.path, file.image_ids, file.runs
        self._file, self._family = file, family

    def scores_of(self, rows: pd.DataFrame) -> Float32[np.ndarray, "n m"]:
        """The image scores of the prototypes in some rows of `ap.csv`.

        Args:
            rows: M rows of one run of this family.

        Returns:
            A column for each row. If no prototype could be chosen, the column is 0;
            the AP of such constant scores is the prevalence, that of the row chance.

        Raises:
            ValueError: the rows belong to several runs or to another family, or a
                prototype is not in the file.
        """
        run = self._run_of(rows)
        prototypes_C = self._file.read(run, "prototypes_C")
        scores_NC = self._file.read(run, "scores_NC")
        n_images, n_chosen = len(self.image_ids), len(prototypes_C)
        if scores_NC.shape != (n_images, n_chosen) or scores_NC.dtype != np.float32:
            raise self._file.file.damaged(
                f"{run.name} is {scores_NC.dtype} of shape {scores_NC.shape}, expected "
                f"float32 of shape {(n_images, n_chosen)}"
            )
        is_chosen_M = rows["prototype"].notna().to_numpy()
        wanted = rows["prototype"][is_chosen_M].to_numpy(np.int64)
        unknown = np.setdiff1d(wanted, prototypes_C)
        if len(unknown):
            raise ValueError(
                f"{self._file.path} lacks prototype {unknown[0]} of {run.name}, which "
                "was chosen according to ap.csv: select prototypes again"
            )
        scores_NM = np.zeros((n_images, len(rows)), np.float32)
        scores_NM[:, is_chosen_M] = scores_NC[:, np.searchsorted(prototypes_C, wanted)]
        return scores_NM

    def made_by(self, run: Run) -> str:
        """The SHA-256 of the checkpoint that gave the scores of a run."""
        return self._file.attribute(run, "scores_NC", "checkpoint_sha256")

    def _run_of(self, rows: pd.DataFrame) -> Run:
        """The single run of all rows."""
        place = ["dataset", "encoder", "layer", "method"]
        runs = rows[[*place, *_RUN]].drop_duplicates()
        if len(runs) != 1:
            raise ValueError(f"expected rows of one run, got those of {len(runs)}")
        row = runs.iloc[0]
        run = _run_of_row(row)
        family = [getattr(self._family, name) for name in place]
        if row[place].tolist() != family or run not in self.runs:
            raise ValueError(
                f"{self._file.path} holds scores of {' '.join(map(str, family))}, not "
                f"of {' '.join(map(str, row[place]))} {run.name}: pass the ap.csv in "
                "the same folder"
            )
        return run


@contextmanager
def open_chosen(
    path: Path, family: ScoredFamily | SelectedFamily, runs: Collection[str]
) -> Iterator[ChosenScores]:
    """Open the file that `write_chosen` wrote, and check it.

    Args:
        path: the HDF5 file.
        family: the expected family.
        runs: the names of all expected runs.

    Raises:
        ValueError: the file is missing or damaged, or holds another family or other
            runs.
    """
    with open_score_file(path, family, runs, _REMEDY) as file:
        yield ChosenScores(file, family)


@contextmanager
def open_chosen_of(path: Path, rows: pd.DataFrame) -> Iterator[ChosenScores]:
    """Open the file that belongs to the rows of an `ap.csv`, and check it.

    Args:
        path: the HDF5 file.
        rows: all rows of the `ap.csv` in the same folder.

    Raises:
        ValueError: the file is missing or damaged, or holds another family or other
            runs than the rows.
    """
    first = rows.iloc[0]
    family = SelectedFamily(
        first["encoder"], int(first["layer"]), first["method"], first["dataset"]
    )
    runs = rows[_RUN].drop_duplicates()
    names = [_run_of_row(row).name for _, row in runs.iterrows()]
    with open_chosen(path, family, names) as chosen:
        yield chosen


_RUN = ["n_prototypes", "seed", "learning_rate", "sparsity"]


def _run_of_row(row: pd.Series) -> Run:
    settings = {
        name: None if pd.isna(row[name]) else float(row[name])
        for name in ("learning_rate", "sparsity")
    }
    return Run(int(row["n_prototypes"]), int(row["seed"]), **settings)
