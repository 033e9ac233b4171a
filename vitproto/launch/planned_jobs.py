"""Jobs of Snakemake's graph as the plan sees them, and lists of them."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitproto.core.files import whole_file
from vitproto.planning.costs.job import PlannedJob


def planned_job(job: Any) -> PlannedJob:
    """A job of Snakemake's graph, with the threads and GPU that it asks for."""
    return PlannedJob(
        rule=job.rule.name,
        wildcards=dict(job.wildcards.items()),
        n_threads=job.threads,
        uses_gpu=uses_gpu(job.rule, job.wildcards),
        is_local=job.is_local,
    )


def uses_gpu(rule: Any, wildcards: Mapping[str, str]) -> bool:
    """Whether a job of one of Snakemake's rules asks for a GPU.

    The rule says so with its resource `gpu`, which a profile may overwrite.
    """
    gpu = rule.resources.get("gpu")
    if gpu is None:
        return False
    context = {"input": (), "attempt": 1, "threads": 1, "rulename": rule.name}
    return bool(gpu.evaluate(wildcards, **context).value)


def write_job_list(dag: Any, rule: str, file: Path) -> None:
    """List all jobs that a rule's job needs, if that is due, each with its benchmark.

    Args:
        dag: Snakemake's graph of jobs, once it has been judged.
        rule: the name of the rule.
        file: the CSV file to write, with columns `stage` and `record`.
    """
    job = next((job for job in dag.jobs_judged if job.rule.name == rule), None)
    if job is None or not dag.needrun(job):
        return
    needed = {*dag.bfs(dag.dependencies, job)} - {job}
    with whole_file(file) as partial, partial.open("w", encoding="utf-8") as text:
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["stage", "record"])
        for other in dag.jobs_judged:
            if other in needed:
                rows.writerow([other.rule.name, other.benchmark or ""])
