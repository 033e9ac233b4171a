"""Time and memory that jobs ask a cluster for: by the plan, and more after a failure.

Short requests start earlier, so a job asks for three times its planned time. After it
ran out of time it is tried again with twice the time, after it ran out of memory with
twice the memory, and after it was cancelled or lost its node with the same.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from vitproto.launch.failures import ending
from vitproto.planning.costs.job import Cost, PlannedJob
from vitproto.planning.plan import estimator

TIMES_PLANNED = 3
"""Requested time over planned time."""
TIMES_MEMORY = 2
"""Requested memory over planned memory, which is right within a factor of two."""
START_MINUTES = 3
"""Time to load libraries from a network disk."""
SNAKEMAKE_MB = 400
"""Memory of two processes of Snakemake, which run beside a job's own."""
AT_LEAST_MB = 2000
CUDA_MB = 6000
"""Main memory that CUDA's libraries take, not measured."""
GROWTH = 2
GROUP_MINUTES = 20
"""Planned time of the short jobs that are submitted as one."""

_STATUS = re.compile(r"SLURM status is: '(\w+)'")
# Messages about a job that the system, SLURM or Python stopped for its memory. GPU
# memory does not count: a larger request would not help.
_KILLED = re.compile(
    r"SIGKILL|exit (status|code) 137|(?<!OutOf)MemoryError|oom[-_ ]?kill|"
    r"task \d+: out of memory|exceeded (job |step )?memory limit|: +\d+ Killed ",
    re.I,
)


class Lack(Enum):
    """The resource that a failed job ran out of."""

    TIME = "time"
    MEMORY = "memory"
    NOTHING = "nothing"


class Requests:
    """The resources that each job asks for, given how its earlier tries failed."""

    def __init__(
        self, config: Mapping[str, Any], uses_gpu: Callable[[str, Any], bool]
    ) -> None:
        """Start without failures.

        Args:
            config: the study, checked.
            uses_gpu: whether the job of a rule with some wildcards asks for a GPU.
        """
        self._plan = estimator(config)
        self._uses_gpu = uses_gpu
        self._lacked: dict[tuple[str, str], Counter[Lack]] = {}
        self.given: dict[Lack, dict[str, int]] = {Lack.TIME: {}, Lack.MEMORY: {}}
        """Minutes and megabytes that a profile gives a rule's jobs at first."""
        self.most: dict[Lack, dict[str, int]] = {Lack.TIME: {}, Lack.MEMORY: {}}
        """The most minutes and megabytes that a rule's jobs may ask for."""

    def minutes(self, wildcards: Any, rulename: str, threads: int) -> int:
        """Minutes that a job asks for now, at most those that its partition allows.

        Snakemake passes the arguments by these names.

        Args:
            wildcards: Snakemake's, or a dictionary.
            rulename: the job's rule.
            threads: the job's number of threads.
        """
        cost = self._cost(rulename, wildcards, threads)
        planned_minutes = math.ceil(TIMES_PLANNED * cost.seconds / 60 + START_MINUTES)
        return self._grown(Lack.TIME, rulename, wildcards, planned_minutes)

    def memory_mb(self, wildcards: Any, rulename: str, threads: int) -> int:
        """Megabytes that a job asks for now, at most those of its partition's nodes.

        Args:
            wildcards: Snakemake's, or a dictionary.
            rulename: the job's rule.
            threads: the job's number of threads.
        """
        cost = self._cost(rulename, wildcards, threads)
        planned = TIMES_MEMORY * cost.memory / 1e6
        if self._uses_gpu(rulename, wildcards):
            planned += CUDA_MB
        planned_mb = max(AT_LEAST_MB, math.ceil(planned / 100) * 100 + SNAKEMAKE_MB)
        return self._grown(Lack.MEMORY, rulename, wildcards, planned_mb)

    def note_failure(self, rule: str, wildcards: Any, lack: Lack) -> None:
        """Remember what a job had too little of when it failed."""
        self._lacked.setdefault(_key(rule, wildcards), Counter())[lack] += 1

    def _cost(self, rule: str, wildcards: Any, n_threads: int) -> Cost:
        return self._plan(PlannedJob(rule, dict(wildcards), n_threads))

    def _grown(self, lack: Lack, rule: str, wildcards: Any, planned: int) -> int:
        """The profile's number or else the plan's, doubled for each failure."""
        given = self.given[lack].get(rule)
        lacked = self._lacked.get(_key(rule, wildcards), Counter())
        asked = (planned if given is None else given) * GROWTH ** lacked[lack]
        # The profile's number is not cut: if it is too large, SLURM or a check says so.
        most = max(self.most[lack].get(rule, asked), given or 0)
        return min(asked, most)


def group_sizes(
    jobs: Iterable[PlannedJob], groups: Mapping[str, str], config: Mapping[str, Any]
) -> dict[str, int]:
    """How many jobs to submit as one, by group, so that they take `GROUP_MINUTES`.

    Args:
        jobs: all jobs of the study.
        groups: the group of each rule that has one.
        config: the study, checked.
    """
    plan = estimator(config)
    seconds: dict[str, list[float]] = {}
    for job in jobs:
        if job.rule in groups:
            seconds.setdefault(groups[job.rule], []).append(plan(job).seconds)
    return {
        group: max(1, round(60 * GROUP_MINUTES * len(each) / max(1, math.fsum(each))))
        for group, each in seconds.items()
    }


def lack_of(message: str, logs: Sequence[Path]) -> Lack:
    """Find out what a job had too little of when it failed.

    Args:
        message: the executor's message about the failure.
        logs: the logs of the job and of SLURM.
    """
    status = _STATUS.search(message)
    match status and status[1]:
        case "TIMEOUT" | "DEADLINE":
            return Lack.TIME
        case "OUT_OF_MEMORY":
            return Lack.MEMORY
        case "FAILED":
            ends = "\n".join(map(ending, logs))
            return Lack.MEMORY if _KILLED.search(ends) else Lack.NOTHING
    return Lack.NOTHING


def _key(rule: str, wildcards: Any) -> tuple[str, str]:
    return rule, repr(sorted(wildcards.items()))
