"""List the SLURM jobs of this folder, and what each of them makes."""

import sys
from pathlib import Path

from vitproto.launch.cli import run
from vitproto.slurm.commands import NoAnswerError, live_jobs, missing_program
from vitproto.slurm.queue_text import write_queue


def show_queue() -> None:
    """List the SLURM jobs of this folder, and what each of them makes.

    One line for each job that waits or runs: its number, state, minutes so far, why it
    waits, and the rule and family that it makes. The exit status is 1 if SLURM does not
    answer.
    """
    if missing := missing_program():
        sys.exit(
            f"SLURM is not installed on this machine ({missing} not found): log in to "
            "the cluster"
        )
    try:
        print(write_queue(live_jobs(), Path.cwd()))
    except NoAnswerError as error:
        sys.exit(f"SLURM does not answer: {error}")


if __name__ == "__main__":
    run(show_queue)
