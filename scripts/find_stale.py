"""List results that do not match today's code, settings and files."""

import sys
from pathlib import Path

from tyro.conf import Positional

from vitproto.core.project import PROJECT
from vitproto.freshness.stale_text import (
    describe_absent,
    describe_due,
    describe_missing,
    describe_stale,
    describe_unknown,
)
from vitproto.launch.cli import run
from vitproto.launch.dry_run import dry_run
from vitproto.study.read_study import read_study


def find_stale(config: Positional[Path]) -> None:
    """List results that do not match today's code, settings and files.

    Shows what is stale and why, and the jobs that a run of the whole study would start,
    which are those of a dry run. The exit status is 1 if any result is stale, perhaps
    stale, or without a valid origin note.

    Args:
        config: The study, such as config/config.yaml.
    """
    read_study(config)
    jobs, verdict, _ = dry_run(config, PROJECT)
    print(describe_stale(jobs, verdict))
    if verdict.unknown:
        print(f"\n{describe_unknown(jobs, verdict)}")
    if verdict.missing:
        print(f"\n{describe_missing(jobs, verdict)}")
    if verdict.absent:
        print(f"\n{describe_absent(verdict)}")
    print(f"\n{describe_due(jobs, verdict)}")
    stale = (verdict.changed, verdict.above, verdict.perhaps, verdict.unknown)
    sys.exit(1 if any(stale) else 0)


if __name__ == "__main__":
    run(find_stale)
