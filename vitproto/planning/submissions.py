"""How many jobs does a cluster get for a study, and how many wait for one another?

Groups put several of a study's jobs into one of the cluster's.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from vitproto.freshness.staleness import Job
from vitproto.planning.jobs import GPU_STAGES


class Submissions(NamedTuple):
    """What a cluster gets."""

    n_jobs: int
    n_on_gpu: int
    n_waits: int
    """The most jobs that wait for one another, one after the other."""


def groups_of(profile: Path) -> dict[str, str]:
    """The group of each rule that has one in a profile of Snakemake."""
    found = yaml.safe_load(profile.read_text(encoding="utf-8")).get("groups", [])
    return dict(words.split("=", 1) for words in found)


def submissions(
    jobs: Sequence[Job],
    places: Collection[int],
    local: Collection[str],
    groups: Mapping[str, str],
    sizes: Mapping[str, int],
) -> Submissions:
    """Count what a cluster gets for some jobs of a study.

    Args:
        jobs: all of the study, each after those that it needs.
        places: which of them are to run.
        local: the rules whose jobs run where Snakemake was started.
        groups: the group of each rule that has one.
        sizes: how many jobs, with those that they need of the same group, make one of
            the cluster's, by group.
    """
    to_run = {i for i in places if jobs[i].rule not in local}
    first: dict[int, int] = {}
    """Of the jobs of a group that need one another, the first."""
    n_waits: dict[int, int] = {}
    for i, job in enumerate(jobs):
        group = groups.get(job.rule)
        waits, first[i] = 0, i
        for need in job.needs:
            is_same = {i, need} <= to_run and group == groups.get(jobs[need].rule)
            if is_same and group:
                first[i] = first[need]
                waits = max(waits, n_waits[need] - 1)
            else:
                waits = max(waits, n_waits[need])
        n_waits[i] = waits + (i in to_run)
    alone = [jobs[i].rule for i in to_run if jobs[i].rule not in groups]
    grouped = Counter(
        (groups[rule], rule in GPU_STAGES)
        for rule in (jobs[i].rule for i in {first[i] for i in to_run})
        if rule in groups
    )
    n_grouped = {key: math.ceil(n / sizes.get(key[0], 1)) for key, n in grouped.items()}
    on_gpu = sum(n for (_, is_on_gpu), n in n_grouped.items() if is_on_gpu)
    return Submissions(
        n_jobs=len(alone) + sum(n_grouped.values()),
        n_on_gpu=sum(rule in GPU_STAGES for rule in alone) + on_gpu,
        n_waits=max(n_waits.values(), default=0),
    )
