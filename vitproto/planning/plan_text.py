"""What a study will cost, as a table for a terminal."""

from collections.abc import Sequence

from vitproto.planning.disk import size
from vitproto.planning.plan import StageCost
from vitproto.planning.submissions import Submissions
from vitproto.report.shared.markdown import TextTable, align

COLUMNS = {
    "stage": "<",
    "jobs": ">",
    "hours": ">",
    "GPU hours": ">",
    "written": ">",
    "memory": ">",
}
"""Heading and alignment of each column."""


def write_plan(costs: Sequence[StageCost], measured_on: str) -> str:
    """A row for each stage and one for all, with what the numbers mean.

    Args:
        costs: of each stage.
        measured_on: where the rates behind the hours come from.
    """
    total = StageCost(
        stage="all",
        n_jobs=sum(cost.n_jobs for cost in costs),
        hours=sum(cost.hours for cost in costs),
        gpu_hours=sum(cost.gpu_hours for cost in costs),
        written=sum(cost.written for cost in costs),
        memory=max(cost.memory for cost in costs),
    )
    rows = [
        [
            cost.stage,
            f"{cost.n_jobs:,}",
            f"{cost.hours:,.2f}",
            f"{cost.gpu_hours:,.2f}" if cost.gpu_hours else "–",
            size(cost.written),
            size(cost.memory),
        ]
        for cost in (*costs, total)
    ]
    return "\n".join(
        [
            *align(TextTable(COLUMNS, rows)),
            "",
            "Hours are of all jobs of a stage, one after the other, at the rates under",
            f"throughput ({measured_on}).",
            "Memory is of the largest job, without that of a GPU. Encoders are taken",
            "to have a CLS token.",
            "",
        ]
    )


def write_total(costs: Sequence[StageCost]) -> str:
    """What some stages take together: `1.20 hours, 0.50 of them on a GPU, 3 GB`."""
    hours, on_gpu = (
        sum(getattr(cost, key) for cost in costs) for key in ("hours", "gpu_hours")
    )
    written = size(sum(cost.written for cost in costs))
    return f"{hours:,.2f} hours, {on_gpu:,.2f} of them on a GPU, {written} written"


def write_submissions(found: Submissions) -> str:
    """What a cluster gets: `On SLURM that is 43 jobs, 27 of them with a GPU, …`."""
    if not found.n_jobs:
        return "On SLURM that is no job."
    jobs = "1 job" if found.n_jobs == 1 else f"{found.n_jobs:,} jobs"
    return (
        f"On SLURM that is {jobs}, {found.n_on_gpu:,} of them with a GPU; the longest "
        f"chain of jobs is {found.n_waits:,}."
    )
