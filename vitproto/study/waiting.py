"""Says now and then why nothing happens while all jobs wait in SLURM's queue."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

from vitproto.study.slurm import LiveJob, NoAnswerError, live_jobs

LOOKS_EVERY_S = 300
"""A question to SLURM; also how long jobs must have waited before anything is said."""
SAYS_EVERY_S = 1800
"""Between two sentences that say the same."""

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
}
"""What SLURM's reasons mean; any other is shown as it is."""


def describe(jobs: Sequence[LiveJob]) -> str | None:
    """Why all of some jobs wait; nothing if one runs, or if there are none."""
    if not jobs or any(job.state != "PENDING" for job in jobs):
        return None
    reasons = Counter(job.reason for job in jobs)
    parts = []
    for reason, n in reasons.most_common():
        means = _MEANS.get(reason.split(",")[0])
        parts.append(f"{n} for {reason}" + (f" ({means})" if means else ""))
    jobs_wait = "1 job waits" if len(jobs) == 1 else f"all {len(jobs)} jobs wait"
    return f"In SLURM's queue {jobs_wait}: {', '.join(parts)}"


def watch(
    run_name: Callable[[], str | None],
    say: Callable[[str], None],
    looks_every_s: float = LOOKS_EVERY_S,
    says_every_s: float = SAYS_EVERY_S,
) -> threading.Event:
    """Look at the queue in a thread of its own until the event is set.

    Args:
        run_name: the name that all jobs of this run have, once there is one.
        say: shows a sentence.
        looks_every_s: seconds between two looks.
        says_every_s: seconds between two sentences that say the same.
    """
    ended = threading.Event()

    def look() -> None:
        last, since_s = None, 0.0
        while not ended.wait(looks_every_s):
            since_s += looks_every_s
            name = run_name()
            try:
                said = describe(live_jobs(name=name)) if name else None
            except NoAnswerError:
                continue  # the executor asks as well, and says so
            if said is not None and (said != last or since_s >= says_every_s):
                say(said)
                since_s = 0.0
            last = said

    threading.Thread(target=look, daemon=True, name="waiting").start()
    return ended
