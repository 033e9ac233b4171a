"""States of unfinished trainings, from which the next job continues."""

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vitproto.core.files import sha256_of, whole_file, write_text
from vitproto.core.owner import has_ended, owner
from vitproto.core.unreadable import DamagedError, unreadable
from vitproto.prototypes.sae.learner import Learner

SILENT_AFTER_S = 3600
"""How long a job may write nothing before it counts as ended, if its process cannot be
looked up and SLURM does not know it."""
BEAT_S = 60
"""Seconds between signs of life."""
N_LOOKS = 10
"""How often to look for a state that another job has just replaced."""


@dataclass(frozen=True)
class _Stored:
    """A state on disk."""

    name: str
    step: int
    sha256: str


class States:
    """The states of one job's training, and those that earlier jobs left.

    Each job writes to a folder of its own: the job before it may still run, for
    instance if only Snakemake was killed. New states are written beside the old ones,
    then an index is switched to them, then the old ones are deleted. So a complete set
    exists whenever a job is killed.
    """

    def __init__(self, root: Path):
        """`root` holds the folders of all jobs of a training."""
        self.root = root
        self.folder = root / owner()
        self._beaten = 0.0

    def read(self, key: str) -> dict[str, torch.Tensor] | None:
        """Read the latest state of a run, if there is one, and take over its log.

        Args:
            key: identifies the run with all its settings, data and code.

        Raises:
            ValueError: the state is damaged.
        """
        for _ in range(N_LOOKS):
            latest = max(self._of_all_jobs(key), default=None)
            if latest is None:
                self._refuse_damaged_lists()
                return None
            _, folder, stored = latest
            path = folder / stored.name
            # A job that still runs may just have replaced it by a later one.
            if path.is_file():
                break
        else:
            raise DamagedError(
                f"the state of a training, {path}, is listed but missing: delete "
                f"{folder} to train from the beginning"
            )
        try:
            if sha256_of(path).hex() != stored.sha256:
                raise SafetensorError("its SHA-256 is not the one noted beside it")
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise unreadable(
                path,
                error,
                f"the state of a training, {path}, is damaged ({error}): delete "
                f"{folder} to train from the beginning",
            ) from error
        log = folder / self.log_path(key).name
        if folder != self.folder and log.is_file():
            with whole_file(self.log_path(key)) as partial:
                shutil.copyfile(log, partial)
        return state

    def write(self, learners: Mapping[str, Learner]) -> None:
        """Save the states of some runs, all at the same step."""
        before = _read_index(self.folder)
        after = dict(before)
        for key, learner in learners.items():
            name = f"{key}.step-{learner.step}.safetensors"
            with whole_file(self.folder / name) as partial:
                save_file(learner.state(), partial)
                after[key] = _Stored(name, learner.step, sha256_of(partial).hex())
        _replace(self.folder, before, after)
        self._forget_in_ended_jobs([*learners])

    def forget(self, keys: Sequence[str]) -> None:
        """Delete the states and logs of runs that are done."""
        _forget(self.folder, keys)
        self._forget_in_ended_jobs(keys)
        with contextlib.suppress(OSError):  # other jobs have folders in it
            self.root.rmdir()

    def log_path(self, key: str) -> Path:
        """The training log of a run while it trains."""
        return self.folder / f"{key}.csv"

    def beat(self) -> None:
        """Show now and then that this job lives."""
        if time.monotonic() - self._beaten > BEAT_S:
            self._beaten = time.monotonic()
            with contextlib.suppress(FileNotFoundError):  # before the first state
                os.utime(self.folder)

    def _of_all_jobs(self, key: str) -> Iterator[tuple[int, Path, _Stored]]:
        """The states of a run: step, folder and file."""
        for folder in self._folders():
            try:
                stored = _read_index(folder).get(key)
            except DamagedError as error:
                logging.warning("%s, or let it be: other jobs kept states, too", error)
                continue
            if stored is not None:
                yield stored.step, folder, stored

    def _refuse_damaged_lists(self) -> None:
        """Nobody shall train from the beginning without knowing what could be saved."""
        for folder in self._folders():
            _read_index(folder)

    def _folders(self) -> list[Path]:
        try:
            return sorted(path for path in self.root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self.root, error, f"{self.root}: {error}") from error

    def _forget_in_ended_jobs(self, keys: Sequence[str]) -> None:
        for folder in self._folders():
            # It has just ended, or is damaged and has been said to be.
            with contextlib.suppress(FileNotFoundError, DamagedError):
                age_s = time.time() - folder.stat().st_mtime
                if folder != self.folder and has_ended(
                    folder.name, age_s, SILENT_AFTER_S
                ):
                    _forget(folder, keys)


def _forget(folder: Path, keys: Sequence[str]) -> None:
    before = _read_index(folder)
    after = {key: stored for key, stored in before.items() if key not in keys}
    _replace(folder, before, after)
    for key in keys:
        (folder / f"{key}.csv").unlink(missing_ok=True)
    if not after and folder.is_dir():
        # It may hold partial files of a job that was killed while it wrote.
        shutil.rmtree(folder, ignore_errors=True)


def _read_index(folder: Path) -> dict[str, _Stored]:
    index = folder / "index.json"
    if not index.is_file():
        return {}
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))
        return {str(key): _Stored(**stored) for key, stored in listed.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise unreadable(
            index,
            error,
            f"{index}, the list of states of a training, is damaged ({error}): delete "
            f"{folder} to train from the beginning",
        ) from error


def _replace(
    folder: Path, before: Mapping[str, _Stored], after: Mapping[str, _Stored]
) -> None:
    if folder.is_dir() and before != after:
        listed = {key: asdict(stored) for key, stored in after.items()}
        write_text(json.dumps(listed, indent=2), folder / "index.json")
    for stored in set(before.values()) - set(after.values()):
        (folder / stored.name).unlink(missing_ok=True)
