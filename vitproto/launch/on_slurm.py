"""Extend Snakemake's SLURM executor: requests that grow, states, checks, warnings."""

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
    """Make the next try of a job ask for more of what the last one lacked.

    Args:
        requests: the requests of jobs.
        errors: collects messages about failed jobs.
    """
    from snakemake_executor_plugin_slurm import Executor

    report = Executor.report_job_error

    def report_job_error(
        executor: Any, submitted: Any, msg: str | None = None, **options: Any
    ) -> None:
        job, message = submitted.job, msg or ""
        aux_logs = [log for log in options.get("aux_logs") or () if log]
        members = job.jobs if job.is_group() else [job]
        own_logs = [str(log) for member in members for log in member.log]
        lack = lack_of(message, [Path(log) for log in (*own_logs, *aux_logs)])
        for member in members:
            requests.note_failure(member.rule.name, member.wildcards_dict, lack)
            errors.note(member, message, aux_logs, short_of_memory=lack is Lack.MEMORY)
        # SLURM itself avoids a failed node until it recovers. The executor would
        # exclude it for good, perhaps the only one with a GPU.
        if not executor.workflow.executor_settings.exclude_failed_nodes:
            executor._failed_nodes.clear()
        report(executor, submitted, msg, **options)

    Executor.report_job_error = report_job_error


def read_states(settings: Callable[[], Any]) -> None:
    """Make the executor recognise all states in which a job may end.

    Otherwise it waits forever for a job that ended as `CANCELLED by 1000`, which is
    how `sacct` writes it, or as `PREEMPTED` without being requeued.

    Args:
        settings: returns the executor's settings, once it has started.
    """
    import snakemake_executor_plugin_slurm as plugin

    query = plugin.query_job_status

    async def query_job_status(*arguments: Any) -> tuple[dict[str, str] | None, Any]:
        states, seconds = await query(*arguments)
        if states is not None:
            starts_again = not settings().no_requeue
            states = {job: _known(s, starts_again) for job, s in states.items()}
        return states, seconds

    plugin.query_job_status = query_job_status


def _known(state: str, starts_again: bool) -> str:
    """A state as the executor knows it: `CANCELLED`."""
    word = state.split()[0].rstrip("+") if state.strip() else state
    if word == "REVOKED" or (word == "PREEMPTED" and not starts_again):
        return "CANCELLED"
    return word


def take_numbers_of_profile(requests: Requests, settings: Any) -> None:
    """Use a profile's values for a rule instead of the plan's, and let them grow too.

    This applies to values such as `480` and `8h`. An expression (`480 * attempt`) is
    left unchanged.

    Args:
        requests: the requests of jobs.
        settings: Snakemake's settings of resources.
    """
    asked = {
        "runtime": (Lack.TIME, requests.minutes),
        "mem_mb": (Lack.MEMORY, requests.memory_mb),
    }
    for rule, resources in settings._parsed_overwrite_resources.items():
        for key in asked.keys() & resources.keys():
            (lack, evaluator), given = asked[key], resources[key]
            value = None if given.is_evaluable() else given.value
            if str(given.raw).isdigit():  # Snakemake treats this as an expression
                value = int(given.raw)
            if isinstance(value, int):
                requests.given[lack][rule] = value
                resources[key] = Resource(key, evaluator, raw=given.raw)


def run_name(workflow: Any) -> str | None:
    """The name of all SLURM jobs of this run, once the executor has started."""
    scheduler = workflow.scheduler
    return getattr(getattr(scheduler, "_executor", None), "run_uuid", None)


def submitted(jobs: Iterable[Any], dag: Any) -> list[Any]:
    """The jobs and groups to submit for some jobs."""
    items = [dag.get_job_group(job) or job for job in jobs if not job.is_local]
    return [*dict.fromkeys(items)]


def refusals(jobs: Sequence[Any], workflow: Any, requests: Requests) -> list[str]:
    """Reasons why jobs cannot be submitted, one sentence each.

    If there are none, warns of partitions where jobs will wait, and limits all requests
    to what the partitions allow.

    Args:
        jobs: Snakemake's jobs that are to run.
        workflow: Snakemake's workflow.
        requests: the requests of jobs.
    """
    profiles = Path(workflow.basedir) / "profiles"
    if missing := missing_program():
        return [
            f"SLURM is not installed on this machine ({missing} not found): log in to "
            "the cluster, or use --profile profiles/local"
        ]
    settings = workflow.executor_settings
    if settings.array_jobs:
        return [
            "slurm-array-jobs does not work: members of an array wait for the output "
            "of the first. Use groups instead, see profiles/slurm/config.yaml"
        ]
    if unknown := _unknown_rules(workflow):
        return unknown
    try:
        requests.most = _most(jobs, workflow.dag)
        items = submitted(jobs, workflow.dag)
        asked = cluster.requests_of(items, workflow.execution_settings.retries)
        reasons = [
            *cluster.refusals(asked, profiles),
            *cluster.without_accounts(settings.status_command, profiles),
        ]
        if not reasons:
            for sentence in cluster.warnings(asked):
                logger.warning(sentence)
    except NoAnswerError as error:
        return [f"SLURM does not answer: {error}"]
    return reasons


def _unknown_rules(workflow: Any) -> list[str]:
    """Names in a profile's resources that are not rules, perhaps misspelt."""
    # No study has all rules, but one profile serves all studies.
    files = (Path(workflow.basedir) / "workflow/rules").glob("*.smk")
    texts = [file.read_text(encoding="utf-8") for file in files]
    rules = re.findall(r"^\s*rule (\w+):", "\n".join(texts), re.MULTILINE)
    rules += [rule.name for rule in workflow.rules]  # some are named as they are made
    problems = []
    for name in workflow.resource_settings._parsed_overwrite_resources:
        if name not in rules:
            alike = get_close_matches(name, rules, n=1)
            meant = f"did you mean {alike[0]}?" if alike else "remove it"
            problems.append(f"set-resources names an unknown rule, {name}: {meant}")
    return problems


def _most(jobs: Sequence[Any], dag: Any) -> dict[Lack, dict[str, int]]:
    """The minutes and megabytes that each rule's jobs may ask for, where known.

    A group asks for the sum of its jobs' minutes, so each gets a share of the limit.
    """
    n_together: dict[str, int] = {}
    for job in jobs:
        group = dag.get_job_group(job)
        n_members = len(group.jobs) if group else 1
        name = job.rule.name
        n_together[name] = max(n_members, n_together.get(name, 1))
    asked = {job.rule.name: job.resources for job in jobs if not job.is_local}
    most: dict[Lack, dict[str, int]] = {Lack.TIME: {}, Lack.MEMORY: {}}
    for rule, resources in asked.items():
        partition, qos = resources.get("slurm_partition"), resources.get("qos")
        if minutes := cluster.most_minutes(partition, qos):
            most[Lack.TIME][rule] = max(1, minutes // n_together[rule])
        if memory_mb := cluster.most_memory_mb(partition):
            most[Lack.MEMORY][rule] = memory_mb
    return most


def jobs_left(jobs: Sequence[Any], workflow: Any, study: str) -> list[str]:
    """A sentence if an earlier run's SLURM jobs make the same files as this run.

    Args:
        jobs: Snakemake's jobs that are to run, here or on SLURM.
        workflow: Snakemake's workflow.
        study: the name of the study.
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
            f"SLURM does not answer ({error}), so jobs of an earlier run may still be "
            "running: if there are any, press Ctrl-C and wait until they have ended"
        )
        return []


def tell_why_jobs_wait(workflow: Any) -> None:
    """While all jobs wait in SLURM's queue, say so from time to time."""
    if workflow.executor_plugin.name == "slurm":
        waiting.watch(
            lambda: run_name(workflow), lambda: _awaited(workflow), logger.warning
        )


def _awaited(workflow: Any) -> int:
    """The number of SLURM jobs and groups that a run waits for."""
    running = [*workflow.scheduler.running]
    return sum(not (job.is_local or cluster.is_elsewhere(job)) for job in running)
