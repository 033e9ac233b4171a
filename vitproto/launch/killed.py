"""Add the signal that killed a job's command to the end of the job's log."""

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

_OFTEN = {signal.SIGKILL: ", often for lack of memory"}
"""Frequent causes of signals that do not explain themselves."""


def signal_of(error: subprocess.CalledProcessError) -> signal.Signals | None:
    """The signal that killed a command, or None if the command ended by itself.

    A shell reports a killed command by an exit status of 128 plus the signal's number.
    """
    status = error.returncode
    try:
        return signal.Signals(-status if status < 0 else status - 128)
    except ValueError:
        return None


def log_signal(
    rule: str, error: subprocess.CalledProcessError, logs: Iterable[str]
) -> None:
    """Append a line to the logs of a job whose command was killed by a signal.

    The end of its log is what a run shows of a failed job, and a killed process cannot
    write it.

    Args:
        rule: the name of the job's rule.
        error: how its command ended.
        logs: the paths of its logs.
    """
    killed_by = signal_of(error)
    if killed_by is None:
        return
    number, name, often = killed_by.value, killed_by.name, _OFTEN.get(killed_by, "")
    log_end(logs, f"{rule}: killed by signal {number} ({name}){often}\n")


def log_end(logs: Iterable[str], lines: str) -> None:
    """Append lines to the logs of a job, which may end within a line."""
    for log in logs:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with Path(log).open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    file.write(b"\n")
            file.write(lines.encode())
