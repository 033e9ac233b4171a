"""What is stale, in words."""

from collections import Counter
from collections.abc import Iterable, Sequence

from vitproto.study.staleness import Verdict
from vitproto.study.workflow_jobs import Job

N_CHANGES = 10
"""How many are shown of a result: another version of a package can change many."""


def describe_stale(jobs: Sequence[Job], verdict: Verdict) -> str:
    """How many results are stale, which, and what changed for each."""
    stale = verdict.changed.keys() | verdict.above
    n_made = _n_files(jobs, {*range(len(jobs))} - verdict.missing)
    lines = [f"{_n_files(jobs, stale)} of {n_made} results are stale."]
    alike: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, changes in verdict.changed.items():
        alike.setdefault((jobs[i].rule, changes), []).append(i)
    for (_, changes), places in alike.items():
        lines += ["", _name(jobs, places)]
        lines += [f"    {change}" for change in changes[:N_CHANGES]]
        if len(changes) > N_CHANGES:
            lines.append(f"    and {len(changes) - N_CHANGES} more")
    if verdict.above:
        above = _count(jobs, verdict.above)
        lines += ["", f"What is made of these is stale too: {above}"]
    return "\n".join(lines)


def describe_unknown(jobs: Sequence[Job], verdict: Verdict) -> str:
    """Which results have no note of their origin, and what to do."""
    return (
        f"Nothing says where {_n_files(jobs, verdict.unknown)} results come from: "
        f"{_count(jobs, verdict.unknown)}\n"
        "They were made before such notes were, or copied without the folders "
        ".origins.\nCopy those too, or make the results again:"
    )


def describe_missing(jobs: Sequence[Job], verdict: Verdict) -> str:
    """Which results are not there."""
    return f"Not made yet: {_count(jobs, verdict.missing)}"


def _name(jobs: Sequence[Job], places: Sequence[int]) -> str:
    """Name results of one rule: the first, and how many more."""
    files = [output for i in places for output in jobs[i].outputs]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{jobs[places[0]].rule}: {files[0]}{more}"


def _count(jobs: Sequence[Job], places: Iterable[int]) -> str:
    """Count jobs by rule: `score_images 6, plot_map 1`."""
    rules = Counter(jobs[i].rule for i in sorted(places))
    return ", ".join(f"{rule} {n}" for rule, n in rules.items())


def _n_files(jobs: Sequence[Job], places: Iterable[int]) -> int:
    return sum(len(jobs[i].outputs) for i in places)
