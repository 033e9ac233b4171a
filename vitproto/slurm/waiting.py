"""Report from time to time why no job runs: all wait in the queue, or are lost."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from vitproto.slurm.commands import LiveJob, NoAnswerError, live_jobs

LOOKS_EVERY_S = 300
"""Seconds between two queries; jobs must have waited that long before the first
report."""
SAYS_EVERY_S = 1800
"""Seconds between two equal reports."""

_TOO_MUCH = "forever: each asks for more than this limit allows"
_MEANS = {
    "Priority": "other jobs come first",
    "Resources": "nodes, CPUs or GPUs are in use",
    "PartitionTimeLimit": "forever: they ask for more time than the partition allows",
    "PartitionNodeLimit": "forever: they ask for more nodes than the partition has",
    "PartitionDown": "until the partition is up",
    "PartitionInactive": "until the partition is active",
    "ReqNodeNotAvail": "until nodes that are down or reserved are back",
    "QOSMaxJobsPerUserLimit": "until other jobs of yours have ended",
    "AssocMaxJobsLimit": "until other jobs of your account have ended",
    "JobHeldUser": "until you release them: scontrol release",
    "JobHeldAdmin": "until an administrator releases them",
    "BadConstraints": "forever: no node has what they ask for",
    "MaxMemPerLimit": _TOO_MUCH,
    "AccountNotAllowed": "forever: the partition does not accept their account",
    "QOSNotAllowed": "forever: the partition does not accept their QOS",
}
"""The meaning of SLURM's reasons."""
_ALIKE = (
    (re.compile(r"(QOS|Assoc)\w*(PerJob|WallDuration|MaxWall)"), _TOO_MUCH),
    (re.compile(r"(QOS|Assoc)\w*(Limit|Grp|Max)"), "until other jobs have ended"),
    (re.compile(r"not (permitted|allowed)"), "forever: choose another"),
)
"""The meaning of kinds of reasons, the first that matches; others are shown as is."""


def describe(jobs: Sequence[LiveJob]) -> str | None:
    """Why all jobs wait; None if one runs, or if there are none."""
    if not jobs or any(job.state != "PENDING" for job in jobs):
        return None
    reasons = Counter(job.reason for job in jobs)
    parts = []
    for reason, n in reasons.most_common():
        means = _meaning(reason)
        parts.append(f"{n} for {reason}" + (f" ({means})" if means else ""))
    jobs_wait = "The job waits" if len(jobs) == 1 else f"All {len(jobs)} jobs wait"
    return f"{jobs_wait} in SLURM's queue: {', '.join(parts)}"


def _meaning(reason: str) -> str | None:
    alike = (means for pattern, means in _ALIKE if pattern.search(reason))
    return _MEANS.get(reason.split(",")[0]) or next(alike, None)


def describe_lost(n_awaited: int, name: str) -> str:
    """The message for a run that waits for jobs of which none is in the queue."""
    jobs, it = "the job", "it"
    if n_awaited > 1:
        jobs, it = f"any of the {n_awaited} jobs", "they"
    return (
        f"squeue no longer lists {jobs} that this run waits for, and SLURM has not "
        f"reported how {it} ended: see sacct --name={name}. If that does not change, "
        "press Ctrl-C and run the same command again"
    )


def watch(
    run_name: Callable[[], str | None],
    n_awaited: Callable[[], int],
    say: Callable[[str], None],
    looks_every_s: float = LOOKS_EVERY_S,
    says_every_s: float = SAYS_EVERY_S,
) -> threading.Event:
    """Watch the queue in a thread until the returned event is set.

    Args:
        run_name: returns the name of all jobs of this run, once there is one.
        n_awaited: returns the number of jobs for which the run waits.
        say: shows a sentence.
        looks_every_s: seconds between two queries.
        says_every_s: seconds between two equal reports.
    """
    ended = threading.Event()

    def look() -> None:
        last, since_s, were_lost = None, 0.0, False
        while not ended.wait(looks_every_s):
            since_s += looks_every_s
            name = run_name()
            if not name:
                continue
            try:
                jobs = live_jobs(name=name)
            except NoAnswerError:
                continue  # the executor asks as well, and reports it
            sentence, n_lost = describe(jobs), 0 if jobs else n_awaited()
            # The executor may not have asked since the last job ended.
            if n_lost and were_lost:
                sentence = describe_lost(n_lost, name)
            were_lost = n_lost > 0
            if sentence is not None and (sentence != last or since_s >= says_every_s):
                say(sentence)
                since_s = 0.0
            last = sentence

    threading.Thread(target=look, daemon=True, name="waiting").start()
    return ended
