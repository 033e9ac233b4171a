"""Jobs of Snakemake's graph as the plan sees them, and lists of them."""

import csv
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
        # On one machine Snakemake calls every job local.
        is_local=job.rule.name in job.rule.workflow._localrules,
    )


def uses_gpu(rule: Any, wildcards: Any) -> bool:
    """Whether a job of one of Snakemake's rules asks for a GPU.

    The rule says so with its resource `gpu`, which a profile may overwrite.
    """
    # The others may depend on this one.
    others = rule.resources.keys() - {"gpu", "_cores"}
    given = dict(wildcards.items())
    resources = rule.expand_resources(given, (), attempt=1, skip_evaluation=others)
    return bool(resources.get("gpu"))


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
