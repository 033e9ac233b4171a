"""The run table: which sets of prototypes a study compares."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from vitproto.runs import Run


class Family(NamedTuple):
    """What one job fits, one job scores and one job selects from."""

    encoder: str
    layer: int
    method: str


@dataclass(frozen=True)
class StudyRun:
    """One row of the run table."""

    encoder: str
    layer: int
    method: str
    n_prototypes: int
    seed: int

    @property
    def family(self) -> Family:
        return Family(self.encoder, self.layer, self.method)

    @property
    def run(self) -> Run:
        return Run(self.n_prototypes, self.seed)

    def __str__(self) -> str:
        return f"{self.encoder} layer {self.layer} {self.method} {self.run.name}"


def expand_runs(rows: Sequence[Mapping[str, Any]]) -> list[StudyRun]:
    """Write out each row of the configuration's `runs`, in order.

    A row whose key holds a list stands for one run per value; of several lists,
    for one per combination.
    """
    runs = []
    keys = [field.name for field in fields(StudyRun)]
    for row in rows:
        values = [
            row[key] if isinstance(row[key], list) else [row[key]] for key in keys
        ]
        runs += [StudyRun(*combination) for combination in itertools.product(*values)]
    return runs


def families(runs: Sequence[StudyRun]) -> dict[Family, list[Run]]:
    """Group runs by the job that fits them together."""
    grouped: dict[Family, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.family, []).append(run.run)
    return {family: sorted(members) for family, members in sorted(grouped.items())}
