"""Name the process that writes a file, and tell whether it still runs.

Jobs that were killed leave files behind, and jobs on other machines of a cluster may be
writing theirs at this moment. The name of a file says whose it is.
"""

import hashlib
import os
import re
import socket
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

LONGEST_ANSWER_S = 30
"""SLURM's controller may be busy; then the age of a file decides."""

_NAME = r"(?P<host>.+)-(?P<space>[0-9a-f]{8})-(?P<job>\d*)-(?P<pid>\d+)"


def owner() -> str:
    """The name of this process: host, space of process numbers, SLURM job, number."""
    job = os.environ.get("SLURM_JOB_ID", "")
    job = job if job.isdigit() else ""
    return f"{socket.gethostname()}-{_space()}-{job}-{os.getpid()}"


def has_ended(name: str, age_s: float, after_s: int) -> bool:
    """Whether the process with this `owner` name has ended.

    One of this machine is looked up. One of another machine that was a SLURM job runs
    as long as SLURM says so. Any other is judged by when it last wrote.

    Args:
        name: what `owner` returned there.
        age_s: how long ago it last wrote.
        after_s: the age that shows it, if nothing else does.
    """
    found = re.fullmatch(_NAME, name)
    if found is None:
        return age_s > after_s
    if (found["host"], found["space"]) == (socket.gethostname(), _space()):
        return not _runs(int(found["pid"]))
    if found["job"] and found["job"] == os.environ.get("SLURM_JOB_ID"):
        # A job that SLURM starts again, maybe on another machine, keeps its number.
        if os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
            return True
    elif found["job"]:
        is_live = _is_live_in_slurm(found["job"])
        if is_live is not None:
            return not is_live
    return age_s > after_s


@cache
def _space() -> str:
    """What makes numbers of processes comparable: the boot, and the container.

    Two containers may have the same host name, and the same numbers.
    """
    parts = []
    with suppress(OSError):  # only Linux has them
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        parts = [boot.strip(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _is_live_in_slurm(job: str) -> bool | None:
    """Whether a job waits or runs; None if SLURM does not say."""
    command = ["squeue", "--noheader", f"--jobs={job}", "--format=%A"]
    try:
        asked = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=LONGEST_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if asked.returncode == 0 and asked.stdout.split():
        return True
    # SLURM forgets jobs minutes after their end.
    is_unknown = asked.returncode == 0 or "Invalid job id" in asked.stderr
    return False if is_unknown else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and its parent does not ask how.

    In a container without an init process that stays so for ever.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The name, in brackets, may hold anything.
    return status.rpartition(")")[2].split()[:1] == ["Z"]
