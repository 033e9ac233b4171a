"""How many jobs a cluster gets for a study, and how many wait for one another.

Groups put several of a study's jobs into one of the cluster's.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from vitproto.planning.costs.job import PlannedJob


class Submissions(NamedTuple):
    """The numbers of jobs that a cluster gets."""

    n_jobs: int
    n_on_gpu: int
    n_waits: int
    """The length of the longest chain of jobs that wait for one another."""


def groups_of(profile: Path) -> dict[str, str]:
    """The group of each rule that has one in a profile of Snakemake."""
    settings = yaml.safe_load(profile.read_text(encoding="utf-8"))
    return dict(words.split("=", 1) for words in settings.get("groups", []))


def submissions(
    jobs: Sequence[PlannedJob],
    needs: Sequence[Collection[int]],
    places: Collection[int],
    groups: Mapping[str, str],
    sizes: Mapping[str, int],
) -> Submissions:
    """Count the jobs that a cluster gets for some jobs of a study.

    Args:
        jobs: all jobs of the study, each after those that it needs.
        needs: which jobs each of them needs, by their places in `jobs`.
        places: which of them are to run.
        groups: the group of each rule that has one.
        sizes: how many jobs, with those that they need of the same group, make one of
            the cluster's, by group.
    """
    to_run = {i for i in places if not jobs[i].is_local}
    first: dict[int, int] = {}
    """The first of the jobs of a group that need one another."""
    n_waits: dict[int, int] = {}
    for i, job in enumerate(jobs):
        group = groups.get(job.rule)
        waits, first[i] = 0, i
        for need in needs[i]:
            is_same = {i, need} <= to_run and group == groups.get(jobs[need].rule)
            if is_same and group:
                first[i] = first[need]
                waits = max(waits, n_waits[need] - 1)
            else:
                waits = max(waits, n_waits[need])
        n_waits[i] = waits + (i in to_run)
    alone = [jobs[i] for i in to_run if jobs[i].rule not in groups]
    grouped = Counter(
        (groups[job.rule], job.uses_gpu)
        for job in (jobs[i] for i in {first[i] for i in to_run})
        if job.rule in groups
    )
    n_grouped = {key: math.ceil(n / sizes.get(key[0], 1)) for key, n in grouped.items()}
    on_gpu = sum(n for (_, uses_gpu), n in n_grouped.items() if uses_gpu)
    return Submissions(
        n_jobs=len(alone) + sum(n_grouped.values()),
        n_on_gpu=sum(job.uses_gpu for job in alone) + on_gpu,
        n_waits=max(n_waits.values(), default=0),
    )
