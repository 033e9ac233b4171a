"""Whether what a study writes fits on its disks."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vitproto.planning.costs.job import Number, Written
from vitproto.planning.wording import size


class Need(NamedTuple):
    """The bytes that go to a folder."""

    folder: Path
    n_bytes: Number
    cure: str
    """The change to make if its disk is too small."""

    @classmethod
    def of(
        cls, written: Iterable[Written], storage: Mapping[str, str], results: str
    ) -> list["Need"]:
        """Add up what some jobs write to each folder.

        Args:
            written: what each job writes. Of the scratch space only the largest
                counts; jobs that run at the same time may need more.
            storage: the folders of the configuration.
            results: the folder for everything else.
        """
        jobs = list(written)
        others = sum(job.results for job in jobs)
        others += max((job.scratch for job in jobs), default=0)
        sizes = {
            "activations": sum(job.activations for job in jobs),
            "checkpoints": sum(job.checkpoints for job in jobs),
            "weights": sum(job.weights for job in jobs),
            "scores": sum(job.scores for job in jobs),
        }
        keys = [
            cls(Path(storage[key]), n_bytes, f"storage: {key}")
            for key, n_bytes in sizes.items()
            if key in storage  # a study without selection has no scores
        ]
        return [*keys, cls(Path(results), others, "")]


class _Disk(NamedTuple):
    """A file system, and the folders on it."""

    needs: list[Need]
    n_free: int

    @property
    def is_too_small(self) -> bool:
        return sum(need.n_bytes for need in self.needs) > self.n_free


def _by_disk(needs: Sequence[Need]) -> list[_Disk]:
    """Group folders by the file system that they are or will be on."""
    disks: dict[int, _Disk] = {}
    for need in needs:
        if need.n_bytes == 0:
            continue
        there = _nearest_folder(need.folder)
        device = os.stat(there).st_dev
        if device not in disks:
            disks[device] = _Disk([], shutil.disk_usage(there).free)
        disks[device].needs.append(need)
    return list(disks.values())


def shortages(needs: Sequence[Need]) -> list[str]:
    """Say for each disk that is too small what is needed, what is free, what to do.

    Folders on one file system share its free space.
    """
    return [_complain(disk) for disk in _by_disk(needs) if disk.is_too_small]


def describe_needs(needs: Sequence[Need]) -> str:
    """Say for each disk what is written to it and what is free, a line each."""
    return "\n".join(
        f"{_listed(disk.needs)}: {size(disk.n_free)} free"
        + (", which is too little" if disk.is_too_small else "")
        for disk in _by_disk(needs)
    )


def _complain(disk: _Disk) -> str:
    largest = max(disk.needs, key=lambda need: need.n_bytes)
    cure = f"set {largest.cure} to a folder on a larger one, or make room"
    if not largest.cure:
        cure = f"make room, or make {largest.folder} a link to a folder on a larger one"
    return (
        f"a disk is too small: jobs write {_listed(disk.needs)}, but only "
        f"{size(disk.n_free)} are free there: {cure}"
    )


def _listed(needs: Sequence[Need]) -> str:
    """`1.4 TB to results/activations, 2 GB to results`, largest first."""
    ordered = sorted(needs, key=lambda need: -need.n_bytes)
    return ", ".join(f"{size(need.n_bytes)} to {need.folder}" for need in ordered)


def _nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest of its parents that exists."""
    path = path.absolute()
    return next(parent for parent in (path, *path.parents) if parent.exists())
