"""Describe failed jobs at the end of a run: names, reasons, and ends of logs."""

import logging
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_interface_logger_plugins.common import LogEvent

from vitproto.freshness import origins

N_LINES = 30
ROOM = 2**14
"""Bytes below which a disk counts as full: a message does not fit."""
N_SHOWN = 5
_READ_BYTES = 65_536
_STATUS = re.compile(r"SLURM-job '(\S+)' failed.*?SLURM status is: '(\w+)'", re.DOTALL)
_REFUSED = re.compile(
    r"SLURM sbatch failed\. The error message was '(.*)'\.?$", re.DOTALL
)
_CHANGE = (
    "write {{rule}}: {{{{{key}: {more}}}}} under set-resources in "
    "profiles/slurm/config.yaml"
)
_STATES = {
    "TIMEOUT": "it ran out of time. If it makes progress, run the same command again; "
    "otherwise " + _CHANGE.format(key="runtime", more="MINUTES"),
    "OUT_OF_MEMORY": "it ran out of memory: "
    + _CHANGE.format(key="mem_mb", more="MEGABYTES"),
    "CANCELLED": "it was cancelled or preempted. Run the same command again",
    "NODE_FAIL": "its node failed. Run the same command again",
}
"""SLURM's states of failed jobs: what they mean, and what to do."""
_REFUSALS = {
    "Submit": "lower `jobs` in profiles/slurm/config.yaml below your submission "
    "limit, and run the same command again",
}
"""Advice for a submission that SLURM refuses, by a word of its message."""
_CLOCK_DIFFERENCE_S = 60  # between this machine and the disk, at most


@dataclass(frozen=True)
class Failure:
    """A job that failed for good."""

    name: str
    logs: tuple[Path, ...]
    """The logs of its stage, without those of earlier runs."""
    reason: str = ""
    """Why it failed, according to SLURM."""
    slurm_logs: tuple[Path, ...] = ()
    """The logs that SLURM wrote for it, without those of earlier runs."""
    is_clear: bool = False
    """Whether the reason explains the failure without the lines of SLURM's logs."""


class _Reason(NamedTuple):
    """Why a job failed."""

    text: str
    is_clear: bool = False
    """Whether the text explains the failure without the lines of SLURM's logs."""


class Errors(logging.Handler):
    """Collects Snakemake's messages about failed jobs; a later try replaces earlier
    ones."""

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[int, logging.LogRecord] = {}
        self._reasons: dict[int, str] = {}
        self._short_of_memory: set[int] = set()
        self._logs: dict[int, Sequence[str]] = {}
        self._began = time.time() - _CLOCK_DIFFERENCE_S

    def note(
        self, job: Any, reason: str, logs: Sequence[str], short_of_memory: bool = False
    ) -> None:
        """Remember an executor's message about a job.

        Snakemake does not pass on those about members of groups.

        Args:
            job: a job of Snakemake.
            reason: why it failed.
            logs: the logs of the executor.
            short_of_memory: whether it was killed for lack of memory, which SLURM does
                not always report.
        """
        self._reasons[job.jobid], self._logs[job.jobid] = reason, logs
        self._short_of_memory.discard(job.jobid)
        if short_of_memory:
            self._short_of_memory.add(job.jobid)

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.JOB_ERROR:
            self._records.pop(record.jobid, None)
            self._records[record.jobid] = record

    def failures(self, failed: Iterable[Any]) -> list[Failure]:
        """The jobs that failed for good, the last one last.

        Args:
            failed: the jobs and groups that the scheduler has given up.
        """
        jobs = [member for job in failed for member in _failed_members(job)]
        when = {jobid: i for i, jobid in enumerate(self._records)}
        jobs.sort(key=lambda job: (when.get(job.jobid, -1), job.jobid))
        return [self._failure(job) for job in jobs]

    def _failure(self, job: Any) -> Failure:
        wildcards = [f"{key}={value}" for key, value in job.wildcards.items()]
        name = " ".join([job.rule.name, *wildcards])
        record = self._records.get(job.jobid)
        if record is None:  # its command succeeded, but an output is missing
            return Failure(name, self._written(job.log))
        reason = _reason(
            self._reasons.get(job.jobid) or record.rule_msg or "",
            job.rule.name,
            short_of_memory=job.jobid in self._short_of_memory,
        )
        own = {*map(str, job.log)}
        logs = dict.fromkeys(
            [*filter(None, record.log), *self._logs.get(job.jobid, ())]
        )
        of_job = self._written(log for log in logs if log in own)
        of_slurm = self._written(log for log in logs if log not in own)
        return Failure(name, of_job, reason.text, of_slurm, reason.is_clear)

    def _written(self, logs: Iterable[str]) -> tuple[Path, ...]:
        """The logs that this run has written."""
        files = [Path(log) for log in logs if Path(log).is_file()]
        return tuple(file for file in files if file.stat().st_mtime > self._began)


def _failed_members(job: Any) -> Sequence[Any]:
    """A job, or the members of a group whose results have no note of origin."""
    if not job.is_group():
        return [job]
    notes = {j: [origins.read(Path(file)) for file in j.output] for j in job.jobs}
    return [j for j, of_job in notes.items() if None in of_job] or [*job.jobs]


def _reason(message: str, rule: str, short_of_memory: bool) -> _Reason:
    """Why a job failed and what to change, from an executor's message."""
    # Executors add where else to look, and SLURM's adds its command.
    message = message.split("For further error details")[0]
    message = message.split("\n    sbatch call:")[0].strip()
    if refused := _REFUSED.search(message):
        message = " ".join(refused[1].split())
        advice = next((do for word, do in _REFUSALS.items() if word in message), "")
        return _Reason(": ".join(filter(None, ["SLURM rejected it", message, advice])))
    ended = _STATUS.search(message)
    if ended is None:
        return _Reason(message)
    number, status = ended.groups()
    advice = _STATES.get("OUT_OF_MEMORY" if short_of_memory else status, "")
    text = f"SLURM's job {number} ended with {status}"
    if not advice:
        return _Reason(text)
    return _Reason(f"{text}: {advice.format(rule=rule)}", is_clear=True)


def describe(failures: Sequence[Failure], complete_logs: Sequence[str]) -> str:
    """Each failed job with its reason, the path of its log, and the log's last lines.

    If there are many, the first ones are only listed with their logs.

    Args:
        failures: the last one last.
        complete_logs: the files with all of Snakemake's output.
    """
    jobs = "1 job" if len(failures) == 1 else f"{len(failures)} jobs"
    first = f"{jobs} failed. Full log: {', '.join(complete_logs)}"
    others, shown = failures[:-N_SHOWN], failures[-N_SHOWN:]
    logs = {job: [*job.logs, *job.slurm_logs] for job in others}
    named = [f"{job.name}: {' '.join(map(str, logs[job]))}" for job in others]
    return "\n\n".join(["\n".join([first, *named]), *map(_describe, shown)])


def _describe(job: Failure) -> str:
    lines = [f"{job.name} failed.", *filter(None, [job.reason])]
    logs = [*job.logs, *job.slurm_logs]
    endings = {log: last_lines(log) for log in logs}
    # Show SLURM's log only if nothing else explains the failure.
    candidates = job.logs if job.is_clear else logs
    shown = next((log for log in candidates if endings[log]), None)
    lines += [_pointer(log, endings[log]) for log in logs if log != shown]
    if shown is not None:
        lines += [f"The last lines of {shown}:", *endings[shown]]
    return "\n".join(lines)


def _pointer(log: Path, ending: Sequence[str]) -> str:
    if ending:
        return f"See also {log}"
    if _is_full(log):
        return f"Empty log, since there is no room left on its disk: {log}"
    return f"Empty log: {log}"


def _is_full(log: Path) -> bool:
    """Whether the disk of a log cannot even hold a message."""
    folder = next((parent for parent in log.parents if parent.is_dir()), None)
    return folder is not None and shutil.disk_usage(folder).free < ROOM


def last_lines(log: Path, n: int = N_LINES) -> list[str]:
    """The last lines of a log; none if it is empty or missing."""
    text = ending(log)
    # Keep the last state of a progress bar.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return lines[-n:] if text else []


def ending(log: Path) -> str:
    """The last 64 KB of a log, enough for what Snakemake adds after a failure."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            return file.read().decode(errors="replace").rstrip()
    except OSError:
        return ""
