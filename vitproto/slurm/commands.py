"""Query SLURM: partitions, limits, nodes, jobs."""

import getpass
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROGRAMS = ("sbatch", "sinfo", "squeue", "scontrol")
ANSWERS_WITHIN_S = 60

_DURATION = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


class NoAnswerError(Exception):
    """SLURM did not answer, or refused; the message says why."""


def ask(*command: str) -> str:
    """The output of one of SLURM's programs.

    Raises:
        NoAnswerError: the program is missing, fails, or does not answer in a minute.
    """
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S
        )
    except OSError as error:
        raise NoAnswerError(str(error)) from None
    except subprocess.TimeoutExpired:
        message = f"{command[0]} did not answer within {ANSWERS_WITHIN_S} seconds"
        raise NoAnswerError(message) from None
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"{command[0]} failed"]
        raise NoAnswerError(lines[-1])
    return answer.stdout


def missing_program() -> str | None:
    """The first program of SLURM that this machine lacks."""
    return next((name for name in PROGRAMS if shutil.which(name) is None), None)


@dataclass(frozen=True)
class Partition:
    """A partition of the cluster."""

    name: str
    state: str
    """UP; DOWN, where jobs wait; DRAIN and INACTIVE, which accept no jobs."""
    max_minutes: int | None
    """The longest time that a job may ask for; None if there is no limit."""
    max_memory_mb: int | None
    """The most memory that a job may ask for on one node; None if unknown."""
    is_default: bool = False
    qos: str | None = None
    """The quality of service whose limits all its jobs have."""
    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The only names that it accepts, by kind (`account`, `qos`); no entry for a kind
    of which it accepts all."""
    denied: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The names that it does not accept, by kind."""

    def takes(self, kind: str, name: str) -> bool:
        """Whether it accepts jobs of an account or a quality of service."""
        is_allowed = kind not in self.allowed or name in self.allowed[kind]
        return is_allowed and name not in self.denied.get(kind, ())


@cache
def partitions() -> dict[str, Partition]:
    """All partitions by name, as they were at the first query."""
    memory: dict[str, int] = {}
    for line in ask("sinfo", "--noheader", "--all", "--format=%R %m").splitlines():
        name, _, n_mb = line.partition(" ")
        if n_mb := n_mb.strip(" +"):
            memory[name] = max(int(n_mb), memory.get(name, 0))
    lines = ask("scontrol", "show", "partition", "--oneliner", "--all").splitlines()
    by_name = {}
    for line in lines:
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if name := fields.get("PartitionName"):
            limits = [memory.get(name), _number(fields.get("MaxMemPerNode", ""))]
            by_name[name] = Partition(
                name=name,
                state=fields.get("State", "UP"),
                max_minutes=_minutes(fields.get("MaxTime", "UNLIMITED")),
                max_memory_mb=min(filter(None, limits), default=None),
                is_default=fields.get("Default") == "YES",
                qos=None if fields.get("QoS", "N/A") == "N/A" else fields["QoS"],
                allowed=_chosen(fields, "Allow"),
                denied=_chosen(fields, "Deny"),
            )
    return by_name


def _chosen(fields: Mapping[str, str], word: str) -> dict[str, frozenset[str]]:
    """`AllowAccounts=a,b AllowQos=ALL` as a mapping."""
    keys = {"account": f"{word}Accounts", "qos": f"{word}Qos"}
    return {
        kind: frozenset(fields[key].split(","))
        for kind, key in keys.items()
        if fields.get(key, "ALL") not in ("ALL", "(null)", "")
    }


@cache
def minutes_of_qos() -> dict[str, int]:
    """The longest time of a job by quality of service, for those with a limit."""
    try:
        answer = ask("sacctmgr", "-nP", "show", "qos", "format=Name,MaxWall")
    except NoAnswerError:  # without accounting there are none
        return {}
    rows = [line.split("|") for line in answer.splitlines() if "|" in line]
    limits = {name: _minutes(limit) for name, limit, *_ in rows}
    return {name: limit for name, limit in limits.items() if limit is not None}


class UserDefaults(NamedTuple):
    """The account and QOS of jobs that name none; None if unknown."""

    account: str | None
    qos: str | None


@cache
def defaults_of_user() -> UserDefaults:
    """The account and the quality of service of the user's jobs that name none."""
    columns = "format=DefaultAccount,Account,DefaultQOS"
    user = getpass.getuser()
    try:
        answer = ask("sacctmgr", "-nP", "show", "user", user, columns, "-s")
    except NoAnswerError:  # without accounting there are none
        return UserDefaults(None, None)
    for line in answer.splitlines():
        default, account, qos, *_ = [*line.split("|"), "", ""]
        if default and default == account:
            return UserDefaults(default, qos or None)
    return UserDefaults(None, None)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _minutes(duration: str) -> int | None:
    """`1-12:00:00` or `30:00` in minutes; None for anything else."""
    matched = _DURATION.fullmatch(duration)
    if matched is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in matched.groups())
    return (24 * days + hours) * 60 + minutes


def nodes_that_work(partition: str) -> bool:
    """Whether a partition has a node that is neither down nor drained."""
    states = ask("sinfo", "--noheader", f"--partition={partition}", "--format=%T")
    broken = ("down", "drain", "fail", "inval", "unknown")
    return not all(state.startswith(broken) for state in states.split())


class LiveJob(NamedTuple):
    """A job that waits or runs."""

    id: str
    state: str
    """PENDING, RUNNING, …"""
    reason: str
    """Why it waits."""
    comment: str
    folder: Path
    """The working folder of the job."""
    minutes: int = 0
    """The time for which it has been running."""


def live_jobs(*, name: str | None = None) -> list[LiveJob]:
    """The user's jobs that wait or run; an array counts as one job.

    Args:
        name: only jobs with this name.
    """
    only = [f"--name={name}"] if name else []
    columns = "--format=%F|%T|%r|%M|%k|%Z"
    user = f"--user={getpass.getuser()}"
    jobs = {}
    for line in ask("squeue", "--noheader", user, *only, columns).splitlines():
        job, state, reason, time, comment, folder = line.split("|", 5)
        minutes = _minutes(time) or 0
        jobs[job] = LiveJob(job, state, reason, comment, Path(folder), minutes)
    return [*jobs.values()]


def script_of(job: str) -> str:
    """The batch script of a job of the user."""
    return ask("scontrol", "write", "batch_script", job, "-")
