"""What happens before the first job of a run, and after its last.

Sections `onstart:` and `onerror:` of a Snakefile could do this too, but Snakemake adds
lines of a traceback to whatever these raise.
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
    workflow: Workflow, *checks: Callable[[], Sequence[str]]
) -> None:
    """Stop a run before its first job if a check finds problems; not a dry run.

    If none does, nothing vouches any more for what the run is going to make again.
    """

    def on_start(log: Sequence[str]) -> None:
        bytecode.check_by_content(Path(workflow.basedir))
        problems = [problem for check in checks for problem in check()]
        if workflow.touch:
            problems.append(
                "--touch would call results fresh that today's code and settings did "
                "not make: run without it"
            )
        if workflow.dag_settings.allowed_rules:
            problems.append(
                "--allowed-rules leaves out jobs without which nobody can tell what is "
                "due: name the results that you want, or use --until"
            )
        if not Path("scripts").is_dir():
            problems.append(
                f"{Path.cwd()} holds no scripts/: run where the Snakefile lies, "
                f"{Path(workflow.basedir)}, or with --directory"
            )
        if problems:
            raise CliException("\n".join(problems))
        workflow.dag.take_back_notes()
        # A group of jobs that fails would lose what it has made. Nothing vouches for
        # what the failed one of them leaves.
        workflow.execution_settings.keep_incomplete = True
        tell_why_jobs_wait(workflow)

    workflow.onstart(on_start)


def end_with_failures(workflow: Workflow, errors: failures.Errors) -> None:
    """Let the last words of a run be those of the jobs that failed.

    A run whose jobs all ended well fails too if it leaves something due: files, code or
    settings changed while it went on.

    Args:
        workflow: that of Snakemake.
        errors: what is said when a job fails.
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
                f"{', '.join(files)} changed while this run went on, so its results "
                "are those of the settings of before.\nRun the same command again."
            )

    logger.addHandler(errors)
    workflow.onerror(on_error)
    workflow.onsuccess(on_success)


def _read_configs(workflow: Workflow) -> dict[Path, Any]:
    """The present content of the configuration's files; None where it is unreadable."""
    contents: dict[Path, Any] = {}
    for file in map(Path, workflow.configfiles):
        try:
            contents[file] = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            contents[file] = None
    return contents
