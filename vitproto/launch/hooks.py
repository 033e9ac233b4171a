"""Hooks of a run: checks before its first job, and failures after its last.

Sections `onstart:` and `onerror:` of a Snakefile could do this too, but Snakemake adds
a traceback to any error raised there.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from snakemake.exceptions import CliException
from snakemake.logging import logger
from snakemake.workflow import Workflow

from vitproto.freshness.code import bytecode
from vitproto.freshness.stale_text import describe_still_due
from vitproto.launch import failures
from vitproto.launch.on_slurm import tell_why_jobs_wait


def check_before_first_job(
    workflow: Workflow,
    *checks: Callable[[], Sequence[str]],
    prepare: Callable[[], None],
) -> None:
    """Stop a run before its first job if a check finds problems.

    Otherwise delete the origin notes of all results that the run will make again. A dry
    run does neither.

    Args:
        workflow: Snakemake's workflow.
        checks: functions that return one sentence per problem.
        prepare: what to do before the first job if there are no problems.
    """

    def on_start(log: Sequence[str]) -> None:
        bytecode.check_by_content(Path(workflow.basedir))
        problems = [problem for check in checks for problem in check()]
        if workflow.touch:
            problems.append(
                "--touch would mark results as fresh that today's code and settings "
                "did not make: run without it"
            )
        if workflow.dag_settings.allowed_rules:
            problems.append(
                "--allowed-rules leaves out jobs that decide what is due: name the "
                "results that you want, or use --until"
            )
        if not Path("scripts").is_dir():
            problems.append(
                f"{Path.cwd()} has no folder scripts/: run in the folder of the "
                f"Snakefile, or with --directory {Path(workflow.basedir)}"
            )
        if problems:
            raise CliException("\n".join(problems))
        workflow.dag.take_back_notes()
        prepare()
        # A failed group of jobs would lose all its results. What its failed job leaves
        # has no origin note.
        workflow.execution_settings.keep_incomplete = True
        tell_why_jobs_wait(workflow)

    workflow.onstart(on_start)


def end_with_failures(workflow: Workflow, errors: failures.Errors) -> None:
    """End a run with the description of its failed jobs.

    A run whose jobs all succeeded fails too if jobs are still due, because files, code
    or settings changed meanwhile.

    Args:
        workflow: Snakemake's workflow.
        errors: collects messages about failed jobs.
    """
    configured = _read_configs(workflow)

    def on_error(log: Sequence[str]) -> None:
        if failed := errors.failures(workflow.scheduler.failed):
            raise CliException(failures.describe(failed, log))

    def on_success(log: Sequence[str]) -> None:
        dag = workflow.dag
        is_part = dag.untilrules or dag.untilfiles or dag.omitrules or dag.omitfiles
        if not is_part and (due := dag.still_due()):
            raise CliException(describe_still_due(due))
        now = _read_configs(workflow)
        if files := [str(file) for file in now if now[file] != configured[file]]:
            raise CliException(
                f"{', '.join(files)} changed during this run, so its results were made "
                "with the earlier settings.\nRun the same command again."
            )

    logger.addHandler(errors)
    workflow.onerror(on_error)
    workflow.onsuccess(on_success)


def _read_configs(workflow: Workflow) -> dict[Path, Any]:
    """The current content of the configuration files; None for an unreadable one."""
    contents: dict[Path, Any] = {}
    for file in map(Path, workflow.configfiles):
        try:
            contents[file] = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            contents[file] = None
    return contents
