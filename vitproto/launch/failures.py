"""What a run says last where jobs failed: which ones, and how their logs end."""

import logging
import re
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from vitproto.freshness import origins

N_LINES = 30
N_SHOWN = 5
_READ_BYTES = 65_536
_STATUS = re.compile(r"SLURM-job '(\S+)' failed.*?SLURM status is: '(\w+)'", re.DOTALL)
_REFUSED = re.compile(
    r"SLURM sbatch failed\. The error message was '(.*)'\.?$", re.DOTALL
)
# What Snakemake writes of a command that a signal ended, itself or inside a shell.
_SIGNAL = re.compile(r"died with <Signals\.(\w+)|non-zero exit status (1[2-9]\d)\b")
_CHANGE = (
    "write {{rule}}: {{{{{key}: {more}}}}} under set-resources in "
    "profiles/slurm/config.yaml"
)
_MEANS = {
    "TIMEOUT": "it ran out of time. If it makes headway, run the same command again; "
    "else " + _CHANGE.format(key="runtime", more="MINUTES"),
    "OUT_OF_MEMORY": "it ran out of memory: "
    + _CHANGE.format(key="mem_mb", more="MEGABYTES"),
    "CANCELLED": "it was cancelled or preempted. Run the same command again",
    "NODE_FAIL": "its node failed. Run the same command again",
}
"""What SLURM's states of jobs that failed mean, and what to do."""
_REFUSES = {
    "Submit": "lower `jobs` in profiles/slurm/config.yaml below your submission "
    "limit, and run the same command again",
}
"""The same of submissions that SLURM refused, by a part of what it says."""
_CLOCKS_DIFFER_BY_S = 60  # this machine's and the disk's, at most


@dataclass(frozen=True)
class Failure:
    """A job that failed for good."""

    name: str
    logs: tuple[Path, ...]
    """Its own; none that an earlier run has left."""
    reason: str = ""
    """What SLURM says, if anything."""
    slurm_logs: tuple[Path, ...] = ()
    """SLURM's, likewise, if it ran there."""
    is_clear: bool = False
    """Whether the reason says it all, without the lines of SLURM's logs."""


class Errors(logging.Handler):
    """Remembers what Snakemake says when a job fails; a later try replaces it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[int, logging.LogRecord] = {}
        self._reasons: dict[int, str] = {}
        self._short_of_memory: set[int] = set()
        self._logs: dict[int, Sequence[str]] = {}
        self._began = time.time() - _CLOCKS_DIFFER_BY_S

    def note(
        self, job: Any, reason: str, logs: Sequence[str], short_of_memory: bool = False
    ) -> None:
        """Remember what an executor says of a job; of groups Snakemake passes on none.

        Args:
            job: one of Snakemake's.
            reason: why it failed.
            logs: of the executor.
            short_of_memory: was it stopped for its memory? SLURM may not say so.
        """
        self._reasons[job.jobid], self._logs[job.jobid] = reason, logs
        self._short_of_memory.discard(job.jobid)
        if short_of_memory:
            self._short_of_memory.add(job.jobid)

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.JOB_ERROR:
            self._said.pop(record.jobid, None)
            self._said[record.jobid] = record

    def failures(self, failed: Iterable[Any]) -> list[Failure]:
        """The jobs that failed for good, the last one last.

        Args:
            failed: those that the scheduler has given up.
        """
        jobs = [member for job in failed for member in _failed_of(job)]
        when = {jobid: i for i, jobid in enumerate(self._said)}
        jobs.sort(key=lambda job: (when.get(job.jobid, -1), job.jobid))
        return [self._failure(job) for job in jobs]

    def _failure(self, job: Any) -> Failure:
        wildcards = [f"{key}={value}" for key, value in job.wildcards.items()]
        name = " ".join([job.rule.name, *wildcards])
        said = self._said.get(job.jobid)
        if said is None:  # it ended well, but an output is missing
            return Failure(name, self._written(job.log))
        reason = _in_a_sentence(
            self._reasons.get(job.jobid) or said.rule_msg or "",
            job.rule.name,
            short_of_memory=job.jobid in self._short_of_memory,
        )
        own = {*map(str, job.log)}
        logs = dict.fromkeys([*filter(None, said.log), *self._logs.get(job.jobid, ())])
        of_job = self._written(log for log in logs if log in own)
        of_slurm = self._written(log for log in logs if log not in own)
        if reason.endswith("FAILED") and (by := _signal_in([*of_job, *of_slurm])):
            reason += f": {by} ended its command"
        is_clear = re.search(r"ended with \w+: ", reason) is not None
        return Failure(name, of_job, reason, of_slurm, is_clear)

    def _written(self, logs: Iterable[str]) -> tuple[Path, ...]:
        """Logs without those that an earlier run has left."""
        files = [Path(log) for log in logs if Path(log).is_file()]
        return tuple(file for file in files if file.stat().st_mtime > self._began)


def _failed_of(job: Any) -> Sequence[Any]:
    """A job; of a group those whose results nothing vouches for."""
    if not job.is_group():
        return [job]
    notes = {j: [origins.read(Path(file)) for file in j.output] for j in job.jobs}
    return [j for j, found in notes.items() if None in found] or [*job.jobs]


def _in_a_sentence(said: str, rule: str, short_of_memory: bool) -> str:
    """Why a job failed, and what to change, from what an executor says."""
    # Executors add where else to look, and SLURM's the command that submits.
    said = said.split("For further error details")[0]
    said = said.split("\n    sbatch call:")[0].strip()
    if refused := _REFUSED.search(said):
        said = " ".join(refused[1].split())
        means = next((do for word, do in _REFUSES.items() if word in said), "")
        return f"SLURM rejected it: {said}{': ' if means else ''}{means}"
    found = _STATUS.search(said)
    if found is None:
        return said
    number, status = found.groups()
    key = "OUT_OF_MEMORY" if short_of_memory else status
    means = _MEANS.get(key, "").format(rule=rule)
    return f"SLURM's job {number} ended with {status}{': ' if means else ''}{means}"


def _signal_in(logs: Iterable[Path]) -> str | None:
    """The signal that ended a command, by the logs of its job: `SIGSEGV`."""
    found = [*_SIGNAL.finditer("\n".join(map(ending, logs)))]
    if not found:
        return None
    name, status = found[-1].groups()
    # A shell adds 128 to the number of the signal that ended a command of its.
    known = {128 + each: each.name for each in signal.Signals}
    return name or known.get(int(status))


def describe(failures: Sequence[Failure], complete_logs: Sequence[str]) -> str:
    """Each failed job with its reason, the path of its log, and the log's last lines.

    Of many, only the last few are shown with lines, below the names of the others.

    Args:
        failures: the last one last.
        complete_logs: where all is that Snakemake said.
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
    # SLURM's logs are worth their lines only if nothing else says why.
    candidates = job.logs if job.is_clear else logs
    told = next((log for log in candidates if endings[log]), None)
    lines += [_elsewhere(log, endings[log]) for log in logs if log != told]
    if told is not None:
        lines += [f"The last lines of {told}:", *endings[told]]
    return "\n".join(lines)


def _elsewhere(log: Path, ending: Sequence[str]) -> str:
    return f"See also {log}" if ending else f"There is nothing in {log}"


def last_lines(log: Path, n: int = N_LINES) -> list[str]:
    """How a log ends; nothing if it is empty or not there."""
    text = ending(log)
    # What was written over in a terminal, such as a bar, does not count.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return lines[-n:] if text else []


def ending(log: Path) -> str:
    """The last 64 KB of a log: after a failure Snakemake adds dozens of lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            return file.read().decode(errors="replace").rstrip()
    except OSError:
        return ""
