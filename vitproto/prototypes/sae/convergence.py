"""Whether training has converged: the held-out error over its last quarter.

It loads no torch, so that tables are made fast.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

FIRST = 0.75
"""The share of the training after which the held-out error is first measured."""
N_MEASURED = 6
"""How often it is measured, evenly spaced, the last time at the end."""
STILL_IMPROVING = 0.01
"""The fall of the held-out NMSE over the last quarter, as a share of the NMSE, from
which on training counts as still improving."""
HELD_OUT_NMSE = "held_out_nmse"
"""The column of the training log; empty at steps where nothing was measured."""


class Convergence(NamedTuple):
    """How the error of an autoencoder changed at the end of its training."""

    n_trained_patches: int
    """Patches that it was trained on."""
    nmse_slope: float
    """The change of the held-out NMSE over the last quarter of the training, relative
    to the NMSE at the end: −0.02 if it fell by 2 %. It is the slope of the line of
    least squares through the measured errors, so single errors matter less. NaN if
    nothing was trained, or the error was measured only once or is 0."""

    @property
    def is_improving(self) -> bool:
        """Whether the error still fell by at least `STILL_IMPROVING`.

        It counts as it is printed, rounded to 0.1 %.
        """
        return round(self.nmse_slope, 3) <= -STILL_IMPROVING


UNTRAINED = Convergence(0, math.nan)
"""That of autoencoders that are not trained."""


def measured_steps(n_steps: int) -> list[int]:
    """The steps, counted from 1, after which the held-out error is measured."""
    shares = np.linspace(FIRST, 1, N_MEASURED)
    return sorted({math.ceil(round(share * n_steps, 6)) for share in shares} - {0})


def conclude(
    n_patches: Sequence[int], nmse: Sequence[float], n_trained: int
) -> Convergence:
    """Fit a line to the errors that were measured in the last quarter.

    Args:
        n_patches: patches that had been seen when each error was measured.
        nmse: the errors.
        n_trained: patches of the whole training.
    """
    if len(nmse) < 2 or not nmse[-1] > 0:
        return Convergence(n_trained, math.nan)
    slope = np.polyfit(np.array(n_patches) / n_trained, nmse, deg=1)[0]
    return Convergence(n_trained, float(slope * (1 - FIRST) / nmse[-1]))


def convergence_of(log: Path, runs: Sequence[str]) -> list[Convergence]:
    """Read how the training of some runs ended; `UNTRAINED` if none was trained.

    Args:
        log: the training log of their family, without rows if it trains nothing.
        runs: the names of the runs.

    Raises:
        ValueError: the log is damaged, or has some runs but lacks one.
    """
    ended = read_convergence(log)
    lacking = [run for run in runs if run not in ended]
    if ended and lacking:
        raise ValueError(
            f"{log} lacks the run {lacking[0]}: delete it and run fit_sae again"
        )
    return [ended.get(run, UNTRAINED) for run in runs]


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no error")
    return value


def read_convergence(log: Path) -> Mapping[str, Convergence]:
    """Read how the training of each run ended, by the run's name.

    Args:
        log: a training log, of one run or of a family.

    Raises:
        ValueError: a column is missing, or a value is not a number.
    """
    measured: dict[str, tuple[list[int], list[float]]] = {}
    n_trained: dict[str, int] = {}
    with log.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            if not {"run", "n_patches", HELD_OUT_NMSE} <= {*(reader.fieldnames or ())}:
                raise KeyError("a column is missing")
            for row in reader:
                n_patches = int(row["n_patches"])
                if n_patches <= n_trained.get(row["run"], 0):
                    raise ValueError("n_patches does not grow")
                n_trained[row["run"]] = n_patches
                if row[HELD_OUT_NMSE]:
                    seen, nmse = measured.setdefault(row["run"], ([], []))
                    seen.append(n_patches)
                    nmse.append(_finite(row[HELD_OUT_NMSE]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{log}, line {reader.line_num}, is damaged or not a training log "
                f"({type(error).__name__}: {error}): delete it and run fit_sae again"
            ) from error
    return {
        run: conclude(*measured.get(run, ([], [])), n) for run, n in n_trained.items()
    }
