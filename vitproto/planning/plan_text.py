"""Write the estimated cost of a study as a table for a terminal."""

import textwrap
from collections.abc import Sequence

from vitproto.planning.plan import StageCost, add_up
from vitproto.planning.submissions import Submissions
from vitproto.planning.wording import duration, size
from vitproto.report.shared.markdown import TextTable, align

COLUMNS = {
    "stage": "<",
    "jobs": ">",
    "time": ">",
    "GPU time": ">",
    "written": ">",
    "memory": ">",
}
"""Heading and alignment of each column."""


def write_plan(costs: Sequence[StageCost], measured_on: str) -> str:
    """Write a row for each stage and one for all, and what the numbers mean.

    Args:
        costs: the cost of each stage.
        measured_on: where the rates behind the times come from.
    """
    rows = [
        [
            cost.stage,
            f"{cost.n_jobs:,}",
            duration(cost.seconds),
            duration(cost.gpu_seconds) if cost.gpu_seconds else "–",
            size(cost.written),
            size(cost.memory),
        ]
        for cost in (*costs, add_up("all", costs))
    ]
    meaning = (
        "Time is that of all jobs of a stage, one after the other, at the rates under "
        f"throughput ({measured_on}). GPU time is the part of it on a GPU. Memory is "
        "that of the largest job, without GPU memory. Encoders are assumed to have a "
        "CLS token."
    )
    table = align(TextTable(COLUMNS, rows))
    return "\n".join([*table, "", *textwrap.wrap(meaning, width=79), ""])


def write_total(costs: Sequence[StageCost]) -> str:
    """Write what some stages take together: `1.2 h, 30 min of it on a GPU, …`."""
    total = add_up("all", costs)
    on_gpu = duration(total.gpu_seconds) if total.gpu_seconds else "none"
    return (
        f"{duration(total.seconds)}, {on_gpu} of it on a GPU, "
        f"{size(total.written)} written"
    )


def write_submissions(count: Submissions) -> str:
    """Write what a cluster gets: `On SLURM that is 43 jobs, 27 of them …`."""
    if not count.n_jobs:
        return "That takes no SLURM job."
    jobs = "1 job" if count.n_jobs == 1 else f"{count.n_jobs:,} jobs"
    return (
        f"On SLURM that is {jobs}, {count.n_on_gpu:,} of them with a GPU; the longest "
        f"chain of jobs is {count.n_waits:,}."
    )
