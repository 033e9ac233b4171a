"""Show which jobs of this folder SLURM has, and what each of them makes."""

import sys
from pathlib import Path

from vitproto.cli import run
from vitproto.report.queue_text import write_queue
from vitproto.study.slurm import NoAnswerError, live_jobs, missing_program


def show_queue() -> None:
    """Show which jobs of this folder SLURM has, and what each of them makes.

    A line for each that waits or runs: its number, state, minutes so far, why it waits,
    and the rule and family that it makes. The exit status is 1 if SLURM is not there.
    """
    if missing := missing_program():
        sys.exit(
            f"SLURM is not installed on this machine, there is no {missing}: log in to "
            "the cluster"
        )
    try:
        print(write_queue(live_jobs(), Path.cwd()))
    except NoAnswerError as error:
        sys.exit(f"SLURM does not answer: {error}")


if __name__ == "__main__":
    run(show_queue)
