"""Which results would come out otherwise today, by what is noted beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from vitproto.study import origins
from vitproto.study.fingerprint import reached
from vitproto.study.origins import Origin
from vitproto.study.workflow_jobs import Job


@dataclass
class Verdict:
    """Jobs of a study by what is known of their results; by place in its list."""

    fresh: set[int] = field(default_factory=set)
    changed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Results that today's code or settings would not make so, and why."""
    above: set[int] = field(default_factory=set)
    """Results that are made of these, and have not changed themselves."""
    unknown: set[int] = field(default_factory=set)
    """Results without a note of their origin."""
    missing: set[int] = field(default_factory=set)
    """Results that are not there."""


def judge(jobs: Sequence[Job], project: Path) -> Verdict:
    """Compare the noted origin of each result with what it would be today.

    Snakemake's memory and the dates of files play no part.

    Args:
        jobs: all jobs of a study, each after those that it needs.
        project: the folder that holds `scripts/` and the package.
    """
    verdict = Verdict()
    needs = _all_needs(jobs)
    noted: list[Origin | None] = []
    code = cache(lambda rule: reached(rule, project))
    for i, job in enumerate(jobs):
        found = [output for output in job.outputs if output.exists()]
        origin = origins.read(found[0]) if found else None
        noted.append(origin)
        if not found:
            verdict.missing.add(i)
            continue
        if origin is None:
            verdict.unknown.add(i)
            continue
        makers = {need: noted[need] for need in job.needs}
        today = _origin_today(job, jobs, makers, origin, code(job.rule))
        changes = origins.differences(origin, today)
        if changes:
            verdict.changed[i] = tuple(changes)
        elif needs[i] & verdict.changed.keys():
            verdict.above.add(i)
        else:
            verdict.fresh.add(i)
    return verdict


@dataclass(frozen=True)
class Rerun:
    """What to tell Snakemake so that it makes some results again."""

    targets: list[str]
    """The files to ask for; all of the study, if there are none."""
    forced: list[str]
    """The rules and files to force."""
    jobs: set[int]
    """The jobs that this runs: those wanted, and those above them."""


def to_rerun(jobs: Sequence[Job], again: set[int]) -> Rerun:
    """How to make the results of some jobs again, and what is made of them."""
    made = {i for i, job in enumerate(jobs) if is_made(job)}
    needs = _all_needs(jobs)
    wanted = again | {i for i in made if needs[i] & again}
    needed = set().union(*(needs[i] for i in wanted))
    targets = [str(jobs[i].outputs[0]) for i in sorted(wanted - needed)]
    forced: dict[str, None] = {}
    for i in sorted(i for i in again if not needs[i] & again):
        same_rule = {k for k, job in enumerate(jobs) if job.rule == jobs[i].rule}
        is_whole_rule = same_rule <= wanted
        forced[jobs[i].rule if is_whole_rule else str(jobs[i].outputs[0])] = None
    return Rerun(targets if len(made) < len(jobs) else [], list(forced), wanted)


def _origin_today(
    job: Job,
    jobs: Sequence[Job],
    makers: Mapping[int, Origin | None],
    noted: Origin,
    code: Mapping[str, str],
) -> Origin:
    """What would be noted today. Inputs that cannot be compared stay as they were."""
    inputs = origins.combine(
        (jobs[need].name, maker.digest()) for need, maker in makers.items() if maker
    )
    for need, maker in makers.items():
        name = jobs[need].name
        if maker is None and name not in inputs and name in noted.inputs:
            inputs[name] = noted.inputs[name]
    return Origin(
        rule=job.rule,
        wildcards=origins.whole_data(job.wildcards),
        command=job.command,
        settings=job.settings,
        inputs=inputs,
        files={
            file.name: origins.digest_of(file) for file in job.files if file.is_file()
        },
        code=code,
    )


def _all_needs(jobs: Sequence[Job]) -> list[set[int]]:
    """For each job all that it needs, those that its needs need included."""
    needs: list[set[int]] = []
    for job in jobs:
        needs.append(set(job.needs).union(*(needs[need] for need in job.needs)))
    return needs


def is_made(job: Job) -> bool:
    return any(output.exists() for output in job.outputs)
