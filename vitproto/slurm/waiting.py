"""Says now and then why nothing happens: all jobs wait in the queue, or are gone."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from vitproto.slurm.commands import LiveJob, NoAnswerError, live_jobs

LOOKS_EVERY_S = 300
"""A question to SLURM; also how long jobs must have waited before anything is said."""
SAYS_EVERY_S = 1800
"""Between two sentences that say the same."""

_TOO_MUCH = "for ever: each asks for more than this limit allows"
_MEANS = {
    "Priority": "others are before them",
    "Resources": "nodes, CPUs or GPUs are taken",
    "PartitionTimeLimit": "for ever: they ask for more time than the partition allows",
    "PartitionNodeLimit": "for ever: they ask for more nodes than the partition has",
    "PartitionDown": "until the partition is up",
    "PartitionInactive": "until the partition is active",
    "ReqNodeNotAvail": "until nodes that are down or reserved are back",
    "QOSMaxJobsPerUserLimit": "until other jobs of yours have ended",
    "AssocMaxJobsLimit": "until other jobs of your account have ended",
    "JobHeldUser": "until they are released: scontrol release",
    "JobHeldAdmin": "until an administrator releases them",
    "BadConstraints": "for ever: no node has what they ask for",
    "MaxMemPerLimit": _TOO_MUCH,
    "AccountNotAllowed": "for ever: the partition takes none of their account",
    "QOSNotAllowed": "for ever: the partition takes none of their QOS",
}
"""What SLURM's reasons mean."""
_ALIKE = (
    (re.compile(r"(QOS|Assoc)\w*(PerJob|WallDuration|MaxWall)"), _TOO_MUCH),
    (re.compile(r"(QOS|Assoc)\w*(Limit|Grp|Max)"), "until other jobs have ended"),
    (re.compile(r"not (permitted|allowed)"), "for ever: choose another"),
)
"""The same of kinds of reasons, the first that fits; any other is shown as it is."""


def describe(jobs: Sequence[LiveJob]) -> str | None:
    """Why all of some jobs wait; nothing if one runs, or if there are none."""
    if not jobs or any(job.state != "PENDING" for job in jobs):
        return None
    reasons = Counter(job.reason for job in jobs)
    parts = []
    for reason, n in reasons.most_common():
        means = _meaning(reason)
        parts.append(f"{n} for {reason}" + (f" ({means})" if means else ""))
    jobs_wait = "1 job waits" if len(jobs) == 1 else f"all {len(jobs)} jobs wait"
    return f"In SLURM's queue {jobs_wait}: {', '.join(parts)}"


def _meaning(reason: str) -> str | None:
    alike = (means for pattern, means in _ALIKE if pattern.search(reason))
    return _MEANS.get(reason.split(",")[0]) or next(alike, None)


def describe_lost(n_awaited: int, name: str) -> str:
    """What to say where the queue holds none of the jobs that a run waits for."""
    jobs = "the job that" if n_awaited == 1 else f"any of the {n_awaited} jobs that"
    return (
        f"squeue no longer lists {jobs} this run waits for, and SLURM has not said how "
        f"they ended: see sacct --name={name}. If that stays so, press Ctrl-C and run "
        "the same command again"
    )


def watch(
    run_name: Callable[[], str | None],
    n_awaited: Callable[[], int],
    say: Callable[[str], None],
    looks_every_s: float = LOOKS_EVERY_S,
    says_every_s: float = SAYS_EVERY_S,
) -> threading.Event:
    """Look at the queue in a thread of its own until the event is set.

    Args:
        run_name: the name that all jobs of this run have, once there is one.
        n_awaited: how many of them the run takes for waiting or running.
        say: shows a sentence.
        looks_every_s: seconds between two looks.
        says_every_s: seconds between two sentences that say the same.
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
                continue  # the executor asks as well, and says so
            said, n_lost = describe(jobs), 0 if jobs else n_awaited()
            # The executor may not have asked since the last one ended.
            if n_lost and were_lost:
                said = describe_lost(n_lost, name)
            were_lost = n_lost > 0
            if said is not None and (said != last or since_s >= says_every_s):
                say(said)
                since_s = 0.0
            last = said

    threading.Thread(target=look, daemon=True, name="waiting").start()
    return ended
