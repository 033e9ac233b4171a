"""A table of SLURM jobs and what each of them makes, for a terminal."""

from collections.abc import Collection, Iterable
from pathlib import Path

from vitproto.report.shared.markdown import TextTable, align
from vitproto.slurm.commands import LiveJob, NoAnswerError, script_of
from vitproto.slurm.running_elsewhere import made_by

COLUMNS = {"job": ">", "state": "<", "minutes": ">", "reason": "<", "makes": "<"}
"""Heading and alignment of each column."""

_NOT_SHOWN = {"address", "i_shard", "n_shards"}
"""Wildcards that only distinguish files."""


def write_queue(live: Iterable[LiveJob], folder: Path) -> str:
    """A row for each job that was submitted in a folder, in SLURM's order.

    Args:
        live: the user's jobs.
        folder: the folder of the Snakefile.

    Raises:
        NoAnswerError: SLURM does not answer.
    """
    here = [job for job in live if job.folder.resolve() == folder.resolve()]
    if not here:
        return f"SLURM has no jobs from {folder}."
    rows = [
        [job.id, job.state, str(job.minutes), job.reason, _what(job)] for job in here
    ]
    return "\n".join(align(TextTable(COLUMNS, rows)))


def _what(job: LiveJob) -> str:
    try:
        script = script_of(job.id)
    except NoAnswerError:  # the job has just ended
        return "unknown"
    return describe(made_by(script).targets) or "not submitted by Snakemake"


def describe(targets: Collection[str]) -> str:
    """The targets of a job: `record_activations cub200 siglip-vit-l16-256 and 21 more`.

    Args:
        targets: each as `rule:wildcard=value,…`.
    """
    if not targets:
        return ""
    first, *others = sorted(targets)
    rule, _, wildcards = first.partition(":")
    values = [
        value
        for key, _, value in (word.partition("=") for word in wildcards.split(","))
        if key not in _NOT_SHOWN and value
    ]
    more = f" and {len(others)} more" if others else ""
    return " ".join([rule, *values]) + more
