"""Which jobs SLURM has, and what each of them makes, as a table for a terminal."""

from collections.abc import Collection, Iterable
from pathlib import Path

from vitproto.report.shared.markdown import TextTable, align
from vitproto.slurm.commands import LiveJob, NoAnswerError, script_of
from vitproto.slurm.running_elsewhere import made_by

COLUMNS = {"job": ">", "state": "<", "minutes": ">", "reason": "<", "makes": "<"}
"""Heading and alignment of each column."""

_TELLS_FILES_APART = {"address", "i_shard", "n_shards"}
"""Wildcards that say nothing to a reader."""


def write_queue(live: Iterable[LiveJob], folder: Path) -> str:
    """A row for each job that was submitted in a folder, in the order of SLURM.

    Args:
        live: the user's jobs.
        folder: that of the Snakefile.

    Raises:
        NoAnswerError: SLURM does not say.
    """
    here = [job for job in live if job.folder.resolve() == folder.resolve()]
    if not here:
        return f"SLURM has no job of {folder}."
    rows = [
        [job.id, job.state, str(job.minutes), job.reason, _what(job)] for job in here
    ]
    return "\n".join(align(TextTable(COLUMNS, rows)))


def _what(job: LiveJob) -> str:
    try:
        script = script_of(job.id)
    except NoAnswerError:  # it has just ended
        return "unknown"
    return describe(made_by(script).targets) or "nothing that Snakemake submitted"


def describe(targets: Collection[str]) -> str:
    """What a job makes: `record_activations cub200 siglip-vit-l16-256 and 21 more`.

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
        if key not in _TELLS_FILES_APART and value
    ]
    more = f" and {len(others)} more" if others else ""
    return " ".join([rule, *values]) + more
