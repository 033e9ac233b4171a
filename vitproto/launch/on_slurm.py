"""What we add to the executor of SLURM's jobs."""

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from snakemake.logging import logger
from snakemake.resources import Resource

from vitproto.launch.failures import Errors
from vitproto.launch.resource_requests import Lack, Requests, lack_of
from vitproto.slurm import cluster, running_elsewhere, waiting
from vitproto.slurm.commands import NoAnswerError, missing_program


def learn_from_failures(requests: Requests, errors: Errors) -> None:
    """Let the next try of a job ask for more of what the last one lacked.

    Args:
        requests: what jobs ask for.
        errors: what a run says last where jobs failed.
    """
    from snakemake_executor_plugin_slurm import Executor

    report = Executor.report_job_error

    def report_job_error(
        executor: Any, submitted: Any, msg: str | None = None, **options: Any
    ) -> None:
        job, said = submitted.job, msg or ""
        aux_logs = [log for log in options.get("aux_logs") or () if log]
        members = job.jobs if job.is_group() else [job]
        own_logs = [str(log) for member in members for log in member.log]
        lack = lack_of(said, [Path(log) for log in (*own_logs, *aux_logs)])
        for member in members:
            requests.note_failure(member.rule.name, member.wildcards_dict, lack)
            errors.note(member, said, aux_logs, short_of_memory=lack is Lack.MEMORY)
        # SLURM uses no node that failed until it is well again. To leave it out for
        # good, as the executor would, can leave out the only one with a GPU.
        if not executor.workflow.executor_settings.exclude_failed_nodes:
            executor._failed_nodes.clear()
        report(executor, submitted, msg, **options)

    Executor.report_job_error = report_job_error


def read_states(settings: Callable[[], Any]) -> None:
    """Let the executor understand all states in which a job may end.

    It waits for ever for one that ended as `CANCELLED by 1000`, which is what `sacct`
    says, or as `PREEMPTED`, unless SLURM starts that again.

    Args:
        settings: those of the executor, once it has begun.
    """
    import snakemake_executor_plugin_slurm as plugin

    query = plugin.query_job_status

    async def query_job_status(*arguments: Any) -> tuple[dict[str, str] | None, Any]:
        states, seconds = await query(*arguments)
        if states is not None:
            starts_again = not settings().no_requeue
            states = {job: _known(said, starts_again) for job, said in states.items()}
        return states, seconds

    plugin.query_job_status = query_job_status


def _known(state: str, starts_again: bool) -> str:
    """A state as the executor knows it: `CANCELLED`."""
    word = state.split()[0].rstrip("+") if state.strip() else state
    if word == "REVOKED" or (word == "PREEMPTED" and not starts_again):
        return "CANCELLED"
    return word


def take_numbers_of_profile(requests: Requests, settings: Any) -> None:
    """Let what a profile gives a rule stand for the plan's, and grow as that does.

    Only values such as `480` and `8h`: an expression (`480 * attempt`) stays as it is.

    Args:
        requests: what jobs ask for.
        settings: of Snakemake, what a profile says of resources.
    """
    asked = {
        "runtime": (Lack.TIME, requests.minutes),
        "mem_mb": (Lack.MEMORY, requests.memory_mb),
    }
    for rule, found in settings._parsed_overwrite_resources.items():
        for key in asked.keys() & found.keys():
            (lack, evaluator), given = asked[key], found[key]
            value = None if given.is_evaluable() else given.value
            if str(given.raw).isdigit():  # which Snakemake takes for an expression
                value = int(given.raw)
            if isinstance(value, int):
                requests.given[lack][rule] = value
                found[key] = Resource(key, evaluator, raw=given.raw)


def run_name(workflow: Any) -> str | None:
    """What SLURM calls all jobs of this run, once the executor has begun."""
    scheduler = workflow.scheduler
    return getattr(getattr(scheduler, "_executor", None), "run_uuid", None)


def submitted(jobs: Iterable[Any], dag: Any) -> list[Any]:
    """What SLURM is to get for some jobs: each alone, or the group that it is in."""
    items = [dag.get_job_group(job) or job for job in jobs if not job.is_local]
    return [*dict.fromkeys(items)]


def refusals(jobs: Sequence[Any], workflow: Any, requests: Requests) -> list[str]:
    """Why can some jobs of Snakemake not be submitted?

    If all can, what will make them wait is said, and no job asks for more time than its
    partition allows.

    Args:
        jobs: what is to run.
        workflow: that of Snakemake.
        requests: what jobs ask for.
    """
    profiles = Path(workflow.basedir) / "profiles"
    if missing := missing_program():
        return [
            f"SLURM is not installed on this machine, there is no {missing}: log in "
            "to the cluster, or use --profile profiles/local"
        ]
    settings = workflow.executor_settings
    if settings.array_jobs:
        return [
            "slurm-array-jobs does not work: members of an array wait for the first "
            "one's output. Groups do the same, see profiles/slurm/config.yaml"
        ]
    if unknown := _unknown_rules(workflow):
        return unknown
    try:
        requests.most = _most(jobs, workflow.dag)
        items = submitted(jobs, workflow.dag)
        asked = cluster.requests_of(items, workflow.execution_settings.retries)
        found = [
            *cluster.refusals(asked, profiles),
            *cluster.without_accounts(settings.status_command, profiles),
        ]
        if not found:
            for sentence in cluster.warnings(asked):
                logger.warning(sentence)
    except NoAnswerError as error:
        return [f"SLURM does not answer: {error}"]
    return found


def _unknown_rules(workflow: Any) -> list[str]:
    """Rules that a profile gives resources, and that are none: perhaps misspelt."""
    # A study has not all of them, but one profile serves all studies.
    files = (Path(workflow.basedir) / "workflow/rules").glob("*.smk")
    texts = [file.read_text(encoding="utf-8") for file in files]
    rules = re.findall(r"^\s*rule (\w+):", "\n".join(texts), re.MULTILINE)
    found = []
    for name in workflow.resource_settings._parsed_overwrite_resources:
        if name not in rules:
            alike = get_close_matches(name, rules, n=1)
            meant = f": did you mean {alike[0]}?" if alike else ""
            found.append(f"set-resources names {name}, which is no rule{meant}")
    return found


def _most(jobs: Sequence[Any], dag: Any) -> dict[Lack, dict[str, int]]:
    """The minutes and megabytes that each rule's jobs may ask for, where known.

    Jobs of a group ask for the sum of their minutes, so each has a share.
    """
    n_together: dict[str, int] = {}
    for job in jobs:
        group = dag.get_job_group(job)
        n_members = len(group.jobs) if group else 1
        name = job.rule.name
        n_together[name] = max(n_members, n_together.get(name, 1))
    asked = {job.rule.name: job.resources for job in jobs if not job.is_local}
    found: dict[Lack, dict[str, int]] = {Lack.TIME: {}, Lack.MEMORY: {}}
    for rule, resources in asked.items():
        partition, qos = resources.get("slurm_partition"), resources.get("qos")
        if minutes := cluster.most_minutes(partition, qos):
            found[Lack.TIME][rule] = max(1, minutes // n_together[rule])
        if memory_mb := cluster.most_memory_mb(partition):
            found[Lack.MEMORY][rule] = memory_mb
    return found


def jobs_left(jobs: Sequence[Any], workflow: Any, study: str) -> list[str]:
    """Which jobs that an earlier run left to SLURM make what this run is to make?

    Args:
        jobs: what is to run, here or on SLURM.
        workflow: that of Snakemake.
        study: its name.
    """
    if missing_program():
        return []
    try:
        return running_elsewhere.refusals(
            jobs,
            study,
            workdir=Path(workflow.workdir_init),
            default_config=Path(workflow.basedir) / "config/config.yaml",
        )
    except NoAnswerError as error:
        if workflow.executor_plugin.name == "slurm":
            return [f"SLURM does not answer: {error}"]
        logger.warning(
            f"SLURM does not answer ({error}): whether it still runs jobs of an "
            "earlier run is not known"
        )
        return []


def tell_why_jobs_wait(workflow: Any) -> None:
    """While all jobs only wait in SLURM's queue, say so now and then."""
    if workflow.executor_plugin.name == "slurm":
        waiting.watch(
            lambda: run_name(workflow), lambda: _awaited(workflow), logger.warning
        )


def _awaited(workflow: Any) -> int:
    """How many jobs and groups of SLURM does a run wait for?"""
    running = [*workflow.scheduler.running]
    return sum(not (job.is_local or cluster.is_elsewhere(job)) for job in running)
