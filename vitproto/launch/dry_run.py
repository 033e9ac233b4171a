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


class DryRun(NamedTuple):
    """What a run would do."""

    jobs: list[Job]
    """Each after those that it needs."""
    verdict: Verdict
    local: frozenset[str]
    """The rules whose jobs run where Snakemake was started, also on a cluster."""


def dry_run(config: Path, project: Path, targets: Sequence[str] = ()) -> DryRun:
    """The jobs of a study, and what is known of their results.

    Args:
        config: the study, such as config/config.yaml.
        project: the folder that holds the Snakefile.
        targets: the files to make; of all, if there are none.
    """
    logger.propagate = False  # what it says of itself is no result of ours
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(),
            config_settings=ConfigSettings(configfiles=[config]),
            snakefile=project / "Snakefile",
        )
        dag_api = workflow.dag(DAGSettings(targets=set(targets)))
        with contextlib.redirect_stdout(None):
            dag_api.printdag()  # what builds the graph
        found = workflow._workflow
        return DryRun(
            jobs=[*found.dag.jobs_judged.values()],
            verdict=found.dag.verdict,
            local=frozenset(found._localrules),
        )
