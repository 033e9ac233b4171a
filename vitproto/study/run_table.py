"""The run table: the sets of prototypes that a study compares."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitproto.study.family import Family
from vitproto.study.run import Run

SEEDLESS = ("pca",)
"""Methods that draw nothing, so that a second fit would be the same."""


@dataclass(frozen=True)
class StudyRun:
    """One run of the run table."""

    encoder: str
    layer: int
    method: str
    run: Run

    @property
    def family(self) -> Family:
        return Family(self.encoder, self.layer, self.method)

    def __str__(self) -> str:
        return f"{self.encoder} layer {self.layer} {self.method} {self.run.name}"


def expand_runs(
    rows: Sequence[Mapping[str, Any]], encoders: Mapping[str, Mapping[str, Any]]
) -> list[StudyRun]:
    """Expand each row of the configuration's `runs`, in order.

    A row whose key holds a list stands for one run per value; of several lists, for
    one per combination. `exp_factor` gives the number of prototypes as a multiple of
    the encoder's width.
    """
    runs = []
    for row in rows:
        values = [
            value if isinstance(value, list) else [value] for value in row.values()
        ]
        for combination in itertools.product(*values):
            chosen = dict(zip(row, combination, strict=True))
            if "exp_factor" in chosen:
                width = encoders[chosen["encoder"]]["width"]
                chosen["n_prototypes"] = chosen.pop("exp_factor") * width
            for key in {"learning_rate", "sparsity"} & chosen.keys():
                chosen[key] = float(chosen[key])
            place = {key: chosen.pop(key) for key in Family._fields}
            runs.append(StudyRun(**place, run=Run(**chosen)))
    return runs


def families(runs: Sequence[StudyRun]) -> dict[Family, list[Run]]:
    """Group runs by the job that fits them together."""
    grouped: dict[Family, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.family, []).append(run.run)
    return {family: sorted(members) for family, members in sorted(grouped.items())}
