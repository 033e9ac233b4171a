"""Names of processes in the names of their files."""

import subprocess

from vitproto.core.owner import owner


def owner_of(pid: int) -> str:
    """The name of another process of this machine."""
    return f"{owner().rpartition('-')[0]}-{pid}"


def ended_owner() -> str:
    """The name of a process of this machine that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return owner_of(process.pid)
