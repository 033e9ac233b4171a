"""Estimate the cost of a study from its jobs and configuration.

Bytes follow from shapes. Memory follows from what a stage holds at a time, on top of
what its libraries take. Time is operations, bytes and scores divided by the rates in
the configuration's `throughput`. The formulas are in `planning/costs/`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import isfunction

from vitproto.planning.costs import (
    activations,
    data,
    features,
    prototypes,
    segmentation,
    traits,
)
from vitproto.planning.costs.job import Cost, Number, PlannedJob, Written
from vitproto.planning.costs.reports import any_report
from vitproto.planning.costs.sizes import Config, StudySizes

COSTS: dict[str, Callable[[PlannedJob, StudySizes], Cost]] = {
    name: item
    for module in (data, activations, prototypes, traits, features, segmentation)
    for name, item in vars(module).items()
    if isfunction(item) and item.__module__ == module.__name__ and name[0] != "_"
}
"""The cost of a stage's job, by the stage's name. Others cost what a report costs."""


@dataclass(frozen=True)
class StageCost:
    """The total cost of the jobs of a stage."""

    stage: str
    n_jobs: int
    seconds: Number
    gpu_seconds: Number
    """The part of `seconds` with a GPU."""
    written: Number
    """Bytes."""
    memory: Number
    """Bytes, of the largest job."""


def estimator(config: Config) -> Callable[[PlannedJob], Cost]:
    """A function that estimates the cost of any job of a study."""
    study = StudySizes(config)

    def estimate(job: PlannedJob) -> Cost:
        return COSTS.get(job.rule, any_report)(job, study)

    return estimate


def by_stage(jobs: Iterable[PlannedJob], config: Config) -> list[StageCost]:
    """Add up what jobs take, in the order in which their stages come."""
    estimate, has_gpu = estimator(config), StudySizes(config).has_gpu
    stages: dict[str, list[StageCost]] = {}
    for job in jobs:
        cost = estimate(job)
        on_gpu = job.uses_gpu and has_gpu
        kept = sum(cost.written._replace(scratch=0))
        alone = StageCost(
            stage=job.rule,
            n_jobs=1,
            seconds=cost.seconds,
            gpu_seconds=cost.seconds if on_gpu else 0,
            written=kept,
            memory=cost.memory,
        )
        stages.setdefault(job.rule, []).append(alone)
    return [add_up(stage, costs) for stage, costs in stages.items()]


def add_up(name: str, costs: Iterable[StageCost]) -> StageCost:
    """Several costs as one, under a new name."""
    costs = [*costs]
    return StageCost(
        stage=name,
        n_jobs=sum(cost.n_jobs for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        gpu_seconds=sum(cost.gpu_seconds for cost in costs),
        written=sum(cost.written for cost in costs),
        memory=max(cost.memory for cost in costs),
    )


def written_by(jobs: Iterable[PlannedJob], config: Config) -> list[Written]:
    """The bytes that each of some jobs writes."""
    estimate = estimator(config)
    return [estimate(job).written for job in jobs]
