"""What a run says last where jobs failed: which ones, and how their logs end."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

N_LINES = 30
N_SHOWN = 5
_READ_BYTES = 65_536
_CLOCKS_DIFFER_BY_S = 60  # this machine's and the disk's, at most


@dataclass(frozen=True)
class Failure:
    """A job that failed for good."""

    name: str
    logs: tuple[Path, ...]
    """Its own, and then SLURM's, if it ran there; none that an earlier run has left."""
    reason: str = ""
    """What SLURM says, if anything."""


class Errors(logging.Handler):
    """Remembers what Snakemake says when a job fails; a later try replaces it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[int, logging.LogRecord] = {}
        self._began = time.time() - _CLOCKS_DIFFER_BY_S

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.JOB_ERROR:
            self._said.pop(record.jobid, None)
            self._said[record.jobid] = record

    def failures(self, failed: Iterable[Any]) -> list[Failure]:
        """The jobs that failed for good, the last one last.

        Args:
            failed: those that the scheduler has given up.
        """
        jobs = [
            member
            for job in failed
            for member in (job.jobs if job.is_group() else [job])
        ]
        when = {jobid: i for i, jobid in enumerate(self._said)}
        jobs.sort(key=lambda job: (when.get(job.jobid, -1), job.jobid))
        return [self._failure(job) for job in jobs]

    def _failure(self, job: Any) -> Failure:
        wildcards = [f"{key}={value}" for key, value in job.wildcards.items()]
        name = " ".join([job.rule.name, *wildcards])
        said = self._said.get(job.jobid)
        if said is None:  # it ended well, but an output is missing
            return Failure(name, self._written(job.log))
        # Executors add where else to look, and SLURM's the command that submits.
        reason = (said.rule_msg or "").split("For further error details")[0]
        reason = reason.split("\n    sbatch call:")[0].strip()
        return Failure(name, self._written(filter(None, said.log)), reason)

    def _written(self, logs: Iterable[str]) -> tuple[Path, ...]:
        """Logs without those that an earlier run has left."""
        files = [Path(log) for log in logs if Path(log).is_file()]
        return tuple(file for file in files if file.stat().st_mtime > self._began)


def describe(failures: Sequence[Failure], complete_logs: Sequence[str]) -> str:
    """Each failed job with its reason, the path of its log, and the log's last lines.

    Of many, only the last few are shown with lines, below the names of the others.

    Args:
        failures: the last one last.
        complete_logs: where all is that Snakemake said.
    """
    jobs = "1 job" if len(failures) == 1 else f"{len(failures)} jobs"
    first = f"{jobs} failed. All that was said: {', '.join(complete_logs)}"
    others, shown = failures[:-N_SHOWN], failures[-N_SHOWN:]
    named = [f"{job.name}: {' '.join(map(str, job.logs))}" for job in others]
    return "\n\n".join(["\n".join([first, *named]), *map(_describe, shown)])


def _describe(job: Failure) -> str:
    lines = [f"{job.name} failed.", *filter(None, [job.reason])]
    endings = {log: last_lines(log) for log in job.logs}
    # Another log is worth its lines only if the job's own has none.
    told = next((log for log in job.logs if endings[log]), None)
    lines += [_elsewhere(log, endings[log]) for log in job.logs if log != told]
    if told is not None:
        lines += [f"The last lines of {told}:", *endings[told]]
    return "\n".join(lines)


def _elsewhere(log: Path, ending: Sequence[str]) -> str:
    return f"See also {log}" if ending else f"There is nothing in {log}"


def last_lines(log: Path, n: int = N_LINES) -> list[str]:
    """How a log ends; nothing if it is empty or not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            text = file.read().decode(errors="replace").rstrip()
    except OSError:
        return []
    # What was written over in a terminal, such as a bar, does not count.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return lines[-n:] if text else []
