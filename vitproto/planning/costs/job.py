"""A job as a plan sees it, and what it costs."""

from collections.abc import Mapping
from typing import NamedTuple

from vitproto.study.family import Family
from vitproto.study.run import Run

Number = int | float


class PlannedJob(NamedTuple):
    """A job of Snakemake's graph, with what its cost depends on."""

    rule: str
    wildcards: Mapping[str, str]
    n_threads: int = 1
    uses_gpu: bool = False
    """Whether it asks for a GPU."""
    is_local: bool = False
    """Whether it runs where Snakemake was started, also if a cluster has the others."""

    @property
    def family(self) -> Family:
        """The family of runs that the job makes or reads."""
        w = self.wildcards
        return Family(w["encoder"], int(w["layer"]), w["method"])

    @property
    def run(self) -> Run:
        """The run that the job shows or edits."""
        return Run.parse(self.wildcards["run"])


class Written(NamedTuple):
    """Bytes that a job writes, by the folder that they go to."""

    activations: Number = 0
    """`storage.activations`."""
    checkpoints: Number = 0
    """`storage.checkpoints`."""
    results: Number = 0
    """`results`."""
    scratch: Number = 0
    """Also in `results`, while the job runs."""
    weights: Number = 0
    """`storage.weights`."""
    scores: Number = 0
    """`storage.scores`."""

    def less(self, n_bytes: Number) -> "Written":
        """Subtract bytes already on disk, whatever folder they are in."""
        left = [max(0, written - n_bytes) for written in self]
        return Written(*left)._replace(scratch=self.scratch)


class Cost(NamedTuple):
    """The cost of one job."""

    seconds: Number
    memory: Number
    """Bytes, at its peak, without GPU memory."""
    written: Written
