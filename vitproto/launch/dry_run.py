"""All jobs of a study and which of them are due, without running any."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from vitproto.freshness.staleness import Job, Verdict
from vitproto.launch.planned_jobs import planned_job
from vitproto.planning.costs.job import PlannedJob


class DryRun(NamedTuple):
    """The jobs of a study, and which of them a run would start."""

    jobs: list[Job]
    """All jobs, each after those that it needs."""
    verdict: Verdict
    planned: list[PlannedJob]
    """The same jobs, as the plan sees them."""


def dry_run(config: Path, project: Path, targets: Sequence[str] = ()) -> DryRun:
    """List the jobs of a study, and judge which of them are due.

    Args:
        config: the study, such as config/config.yaml.
        project: the folder that holds the Snakefile.
        targets: the files to make; all if empty.
    """
    logger.propagate = False  # keep Snakemake's own messages out of the output
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(),
            config_settings=ConfigSettings(configfiles=[config]),
            snakefile=project / "Snakefile",
        )
        dag_api = workflow.dag(DAGSettings(targets=set(targets)))
        with contextlib.redirect_stdout(None):
            dag_api.printdag()  # this builds the graph
        dag = workflow._workflow.dag
        return DryRun(
            jobs=[*dag.jobs_judged.values()],
            verdict=dag.verdict,
            planned=[planned_job(job) for job in dag.jobs_judged],
        )
