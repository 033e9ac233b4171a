"""Questions to SLURM."""

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
    """SLURM did not answer, or refused; why."""


def ask(*command: str) -> str:
    """What SLURM answers.

    Raises:
        NoAnswerError: the program is not there, fails, or says nothing in a minute.
    """
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S
        )
    except OSError as error:
        raise NoAnswerError(str(error)) from None
    except subprocess.TimeoutExpired:
        said = f"{command[0]} said nothing for {ANSWERS_WITHIN_S} seconds"
        raise NoAnswerError(said) from None
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines() or [f"{command[0]} failed"]
        raise NoAnswerError(said[-1])
    return answer.stdout


def missing_program() -> str | None:
    """The first program of SLURM that this machine lacks."""
    return next((name for name in PROGRAMS if shutil.which(name) is None), None)


@dataclass(frozen=True)
class Partition:
    """What SLURM says of a partition."""

    name: str
    state: str
    """UP; DOWN, where jobs wait; DRAIN and INACTIVE, which take none."""
    max_minutes: int | None
    """The longest time that a job may ask for; None if there is no limit."""
    max_memory_mb: int | None
    """What a job may ask for on one node: of the largest, or less by a limit; None if
    SLURM does not know."""
    is_default: bool = False
    qos: str | None = None
    """The quality of service whose limits all its jobs have."""
    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Which alone it takes, by what: `account`, `qos`. Nothing for what it does not
    choose by."""
    denied: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Likewise, which it does not take."""

    def takes(self, kind: str, name: str) -> bool:
        """Does it take jobs of an account or a quality of service?"""
        is_allowed = kind not in self.allowed or name in self.allowed[kind]
        return is_allowed and name not in self.denied.get(kind, ())


@cache
def partitions() -> dict[str, Partition]:
    """All partitions by name, as they were when first asked for."""
    memory: dict[str, int] = {}
    for line in ask("sinfo", "--noheader", "--all", "--format=%R %m").splitlines():
        name, _, n_mb = line.partition(" ")
        if n_mb := n_mb.strip(" +"):
            memory[name] = max(int(n_mb), memory.get(name, 0))
    lines = ask("scontrol", "show", "partition", "--oneliner", "--all").splitlines()
    found = {}
    for line in lines:
        said = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if name := said.get("PartitionName"):
            limits = [memory.get(name), _number(said.get("MaxMemPerNode", ""))]
            found[name] = Partition(
                name=name,
                state=said.get("State", "UP"),
                max_minutes=_minutes(said.get("MaxTime", "UNLIMITED")),
                max_memory_mb=min(filter(None, limits), default=None),
                is_default=said.get("Default") == "YES",
                qos=None if said.get("QoS", "N/A") == "N/A" else said["QoS"],
                allowed=_chosen(said, "Allow"),
                denied=_chosen(said, "Deny"),
            )
    return found


def _chosen(said: Mapping[str, str], word: str) -> dict[str, frozenset[str]]:
    """`AllowAccounts=a,b AllowQos=ALL` as a mapping."""
    keys = {"account": f"{word}Accounts", "qos": f"{word}Qos"}
    return {
        kind: frozenset(said[key].split(","))
        for kind, key in keys.items()
        if said.get(key, "ALL") not in ("ALL", "(null)", "")
    }


@cache
def minutes_of_qos() -> dict[str, int]:
    """The longest time of a job by quality of service, where it has a limit."""
    try:
        said = ask("sacctmgr", "-nP", "show", "qos", "format=Name,MaxWall")
    except NoAnswerError:  # without accounting there are none
        return {}
    rows = [line.split("|") for line in said.splitlines() if "|" in line]
    limits = {name: _minutes(limit) for name, limit, *_ in rows}
    return {name: limit for name, limit in limits.items() if limit is not None}


class UserDefaults(NamedTuple):
    """What SLURM takes for a job that does not say; None where it does not know."""

    account: str | None
    qos: str | None


@cache
def defaults_of_user() -> UserDefaults:
    """The account and the quality of service of the user's jobs that name none."""
    asked = "format=DefaultAccount,Account,DefaultQOS"
    try:
        said = ask("sacctmgr", "-nP", "show", "user", getpass.getuser(), asked, "-s")
    except NoAnswerError:  # without accounting there are none
        return UserDefaults(None, None)
    for line in said.splitlines():
        default, account, qos, *_ = [*line.split("|"), "", ""]
        if default and default == account:
            return UserDefaults(default, qos or None)
    return UserDefaults(None, None)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _minutes(duration: str) -> int | None:
    """`1-12:00:00` or `30:00` in minutes; None for what is no duration."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (24 * days + hours) * 60 + minutes


def nodes_that_work(partition: str) -> bool:
    """Is a node of a partition neither down nor drained?"""
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
    """Where it was submitted, or told to run."""
    minutes: int = 0
    """For which it has run."""


def live_jobs(*, name: str | None = None) -> list[LiveJob]:
    """The user's jobs that wait or run, an array as one.

    Args:
        name: only those of this name.
    """
    only = [f"--name={name}"] if name else []
    asked = "--format=%F|%T|%r|%M|%k|%Z"
    user = f"--user={getpass.getuser()}"
    found = {}
    for line in ask("squeue", "--noheader", user, *only, asked).splitlines():
        job, state, reason, time, comment, folder = line.split("|", 5)
        minutes = _minutes(time) or 0
        found[job] = LiveJob(job, state, reason, comment, Path(folder), minutes)
    return [*found.values()]


def script_of(job: str) -> str:
    """The batch script of one of the user's own jobs."""
    return ask("scontrol", "write", "batch_script", job, "-")
