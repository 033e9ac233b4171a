"""Find results that today's code and settings would not make so."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from tyro.conf import Positional

from vitproto.cli import PROJECT, run
from vitproto.study.config import check
from vitproto.study.stale_text import (
    describe_missing,
    describe_stale,
    describe_unknown,
)
from vitproto.study.staleness import is_made, judge, to_rerun
from vitproto.study.workflow_jobs import Job, jobs_of


def find_stale(config: Positional[Path]) -> None:
    """Find results that today's code and settings would not make so.

    Needs nothing but the results and the notes beside them: it also works where
    `.snakemake` was deleted, or results were copied from elsewhere. Says what is
    stale, why, and which command runs just that again. The exit status is 1 if
    anything is stale or of unknown origin.

    Args:
        config: the study, such as config/config.yaml.
    """
    study = yaml.safe_load(config.read_text())
    check(study, PROJECT / "workflow/schemas/config.schema.yaml", [config])
    jobs = jobs_of(config, PROJECT)
    verdict = judge(jobs, PROJECT)
    print(describe_stale(jobs, verdict))
    if verdict.changed:
        print("\nThis runs just that again:")
        print(_commands(jobs, {*verdict.changed}, config))
    if verdict.unknown:
        print(f"\n{describe_unknown(jobs, verdict)}")
        print(_commands(jobs, verdict.unknown, config))
    if verdict.missing:
        print(f"\n{describe_missing(jobs, verdict)}")
    sys.exit(1 if verdict.changed or verdict.unknown else 0)


def _commands(jobs: Sequence[Job], again: set[int], config: Path) -> str:
    """The commands that make results again, and what is made of them."""
    rerun = to_rerun(jobs, again)
    command = ["snakemake", *rerun.targets, "--profile", "profiles/default"]
    command += ["--configfile", str(config)]
    commands = [[*command, "--forcerun", *rerun.forced]]
    planned = jobs_of(config, PROJECT, rerun.targets, rerun.forced)
    expected = {jobs[i].outputs for i in rerun.jobs}
    surplus = [job for job in planned if job.is_due and job.outputs not in expected]
    if any(is_made(job) for job in surplus):
        # Copied without their dates, files seem to have changed: set the dates first.
        commands.insert(0, [*command, "--touch"])
    return "\n".join(f"  {shlex.join(words)}" for words in commands)


if __name__ == "__main__":
    run(find_stale)
