"""What happens before the first job of a run, and after one in which jobs failed.

Sections `onstart:` and `onerror:` of a Snakefile could do this too, but Snakemake adds
lines of a traceback to whatever these raise.
"""

from collections.abc import Callable, Sequence

from snakemake.exceptions import CliException
from snakemake.logging import logger
from snakemake.workflow import Workflow

from vitproto.study import failures


def check_before_first_job(
    workflow: Workflow, *checks: Callable[[], Sequence[str]]
) -> None:
    """Stop a run before its first job if a check finds problems; not a dry run."""

    def on_start(log: Sequence[str]) -> None:
        problems = [problem for check in checks for problem in check()]
        if problems:
            raise CliException("\n".join(problems))

    workflow.onstart(on_start)


def end_with_failures(workflow: Workflow) -> None:
    """Let the last words of a run be those of the jobs that failed."""
    errors = failures.Errors()

    def on_error(log: Sequence[str]) -> None:
        if failed := errors.failures(workflow.scheduler.failed):
            raise CliException(failures.describe(failed, log))

    logger.addHandler(errors)
    workflow.onerror(on_error)
