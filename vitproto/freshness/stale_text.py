"""What is stale or due, in words."""

from collections import Counter
from collections.abc import Iterable, Sequence

from vitproto.freshness.origins import earlier, seen_below
from vitproto.freshness.staleness import Due, Job, Verdict, images_of

N_CHANGES = 10
"""How many are shown of a result: another version of a package can change many."""

N_REASONS = 3
"""How many are shown of a job that is to run."""

N_NAMES = 5
"""How many jobs a sentence names."""

_WHY = {
    Due.YES: "its results are missing or stale",
    Due.PERHAPS: "perhaps stale: a small input that is made again decides",
    Due.WAITS: "needed only by jobs that are perhaps stale",
}


def why(due: Due) -> str:
    """The kind of reason for which a job runs."""
    return _WHY[due]


def in_short(reasons: Sequence[str]) -> str:
    """Why a job runs, in a line; `make stale` says all."""
    more = f"; and {len(reasons) - N_REASONS} more" if len(reasons) > N_REASONS else ""
    return "; ".join(reasons[:N_REASONS]) + more


def describe_stale(jobs: Sequence[Job], verdict: Verdict) -> str:
    """How many results are stale, which, and what changed for each."""
    stale = verdict.changed.keys() | verdict.above.keys()
    n_made = _n_files(jobs, {*range(len(jobs))} - verdict.missing)
    lines = [f"{_n_files(jobs, stale)} of {n_made} results are stale."]
    for places, changes in _alike(jobs, verdict.changed):
        names = [name for i in places for name in _unlike(jobs[i], changes)]
        lines += ["", _name(jobs, places), *_some(changes), *_some(names, indent=8)]
    # What is made of these needs no reasons of its own.
    said = {
        seen_below(change, jobs[i].name)
        for i, changes in verdict.changed.items()
        for change in changes
    }
    said |= {earlier(jobs[i].name) for i in verdict.changed}
    alone = {
        i: tuple(change for change in changes if change not in said)
        for i, changes in verdict.above.items()
        if not said.issuperset(changes)
    }
    for places, changes in _alike(jobs, alone):
        lines += ["", _name(jobs, places), *_some(changes)]
    if above := verdict.above.keys() - alone.keys():
        lines += ["", f"What is made of these is stale too: {_count(jobs, above)}"]
    if verdict.perhaps:
        lines += ["", describe_perhaps(jobs, verdict)]
    return "\n".join(lines)


def describe_perhaps(jobs: Sequence[Job], verdict: Verdict) -> str:
    """Which results only a small input that is made again can call stale."""
    deciding = sorted({name for names in verdict.perhaps.values() for name in names})
    return (
        f"Stale only if these come out otherwise: {', '.join(deciding)}\n"
        f"    {_count(jobs, verdict.perhaps)}"
    )


def describe_unknown(jobs: Sequence[Job], verdict: Verdict) -> str:
    """Which results no note vouches for, and why."""
    reasons: dict[str, list[int]] = {}
    for i, reason in verdict.unknown.items():
        reasons.setdefault(reason, []).append(i)
    lines = [f"No note vouches for {_n_files(jobs, verdict.unknown)} results:"]
    lines += [f"    {_count(jobs, some)}: {why}" for why, some in reasons.items()]
    return "\n".join(lines)


def describe_missing(jobs: Sequence[Job], verdict: Verdict) -> str:
    """Which results are not there."""
    return f"Not there: {_count(jobs, verdict.missing)}"


def describe_absent(verdict: Verdict) -> str:
    """Which data and weights could not be compared."""
    names = ", ".join(verdict.absent)
    return f"Missing here, so not compared: {names}"


def describe_due(jobs: Sequence[Job], verdict: Verdict) -> str:
    """How many jobs a run would run, by rule."""
    due = [i for i, found in verdict.due.items() if found == Due.YES]
    perhaps = [i for i, found in verdict.due.items() if found == Due.PERHAPS]
    waits = [i for i, found in verdict.due.items() if found == Due.WAITS]
    if not due and not perhaps:
        return "No job is due."
    lines = [f"{len(due)} of {len(jobs)} jobs are due: {_count(jobs, due)}"]
    if perhaps:
        lines.append(f"{len(perhaps)} more perhaps: {_count(jobs, perhaps)}")
    if waits:
        lines.append(f"{len(waits)} only if those are: {_count(jobs, waits)}")
    return "\n".join(lines)


def describe_still_due(names: Sequence[str]) -> str:
    """What a run says that ended well and yet left jobs to do."""
    counted = Counter(names)
    shown = ", ".join([*counted][:N_NAMES]) + (", …" if len(counted) > N_NAMES else "")
    n = f"{len(names)} job is" if len(names) == 1 else f"{len(names)} jobs are"
    return (
        f"{n} still due, since code, settings or files changed while this run went on: "
        f"{shown}\nRun the same command again."
    )


def _alike(
    jobs: Sequence[Job], changes: dict[int, tuple[str, ...]]
) -> Iterable[tuple[list[int], tuple[str, ...]]]:
    """Jobs of a rule for which the same changed."""
    found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, sentences in changes.items():
        found.setdefault((jobs[i].rule, sentences), []).append(i)
    return [(places, sentences) for (_, sentences), places in found.items()]


def _unlike(job: Job, changes: Sequence[str]) -> Iterable[str]:
    """The names of images that changed, if any did since a job recorded them."""
    for images in images_of(job):
        if any(change.startswith(f"{images.what} ") for change in changes):
            yield from images.unlike(job.outputs[0])


def _some(sentences: Sequence[str], indent: int = 4) -> list[str]:
    lines = [" " * indent + sentence for sentence in sentences[:N_CHANGES]]
    if len(sentences) > N_CHANGES:
        lines.append(" " * indent + f"and {len(sentences) - N_CHANGES} more")
    return lines


def _name(jobs: Sequence[Job], places: Sequence[int]) -> str:
    """A rule and its results: `plot_map: results/cub200/map_chart.png and 1 more`."""
    files = [str(output) for i in places for output in jobs[i].outputs]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{jobs[places[0]].rule}: {files[0]}{more}"


def _count(jobs: Sequence[Job], places: Iterable[int]) -> str:
    counts = Counter(jobs[i].rule for i in sorted(places))
    return ", ".join(f"{rule} {n}" for rule, n in counts.items())


def _n_files(jobs: Sequence[Job], places: Iterable[int]) -> int:
    return sum(len(jobs[i].outputs) for i in places)
