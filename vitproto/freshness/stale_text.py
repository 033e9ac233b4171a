"""Sentences about stale results and due jobs."""

from collections import Counter
from collections.abc import Iterable, Sequence

from vitproto.freshness.origins import earlier, seen_below
from vitproto.freshness.staleness import Due, Job, Verdict, images_of

N_CHANGES = 10
"""Number of changes shown per result: a new version of a package can cause many."""

N_REASONS = 3
"""Number of reasons shown per job that is due."""

N_NAMES = 5
"""Number of jobs named in a sentence."""

_WHY = {
    Due.YES: "its results are missing or stale",
    Due.PERHAPS: "perhaps stale: depends on a small input that is made again",
    Due.WAITS: "needed only by jobs that are perhaps stale",
}


def why(due: Due) -> str:
    """Why a job runs, by kind."""
    return _WHY[due]


def in_short(reasons: Sequence[str]) -> str:
    """Why a job runs, in one line; `make stale` shows all reasons."""
    more = f"; and {len(reasons) - N_REASONS} more" if len(reasons) > N_REASONS else ""
    return "; ".join(reasons[:N_REASONS]) + more


def describe_stale(jobs: Sequence[Job], verdict: Verdict) -> str:
    """The number of stale results, their names, and what changed for each."""
    stale = verdict.changed.keys() | verdict.above.keys()
    n_made = _n_files(jobs, {*range(len(jobs))} - verdict.missing)
    lines = [f"{_n_files(jobs, stale)} of {n_made} results are stale."]
    for places, changes in _group(jobs, verdict.changed):
        images = [name for i in places for name in _changed_images(jobs[i], changes)]
        lines += ["", _name(jobs, places), *_first(changes), *_first(images, indent=8)]
    # Results made from these need no reasons of their own.
    explained = {
        seen_below(change, jobs[i].name)
        for i, changes in verdict.changed.items()
        for change in changes
    }
    explained |= {earlier(jobs[i].name) for i in verdict.changed}
    unexplained = {
        i: tuple(change for change in changes if change not in explained)
        for i, changes in verdict.above.items()
        if not explained.issuperset(changes)
    }
    for places, changes in _group(jobs, unexplained):
        lines += ["", _name(jobs, places), *_first(changes)]
    if above := verdict.above.keys() - unexplained.keys():
        lines += ["", f"Results made from these are stale too: {_count(jobs, above)}"]
    if verdict.perhaps:
        lines += ["", describe_perhaps(jobs, verdict)]
    return "\n".join(lines)


def describe_perhaps(jobs: Sequence[Job], verdict: Verdict) -> str:
    """The results that are stale only if a small input changes."""
    inputs = sorted({name for names in verdict.perhaps.values() for name in names})
    return (
        f"Stale only if these change when made again: {', '.join(inputs)}\n"
        f"    {_count(jobs, verdict.perhaps)}"
    )


def describe_unknown(jobs: Sequence[Job], verdict: Verdict) -> str:
    """The results without a valid origin note, and why."""
    reasons: dict[str, list[int]] = {}
    for i, reason in verdict.unknown.items():
        reasons.setdefault(reason, []).append(i)
    n_files = _n_files(jobs, verdict.unknown)
    results = "1 result has" if n_files == 1 else f"{n_files} results have"
    lines = [f"{results} no valid origin note:"]
    lines += [f"    {_count(jobs, places)}: {why}" for why, places in reasons.items()]
    return "\n".join(lines)


def describe_missing(jobs: Sequence[Job], verdict: Verdict) -> str:
    """The results that do not exist."""
    return f"Missing: {_count(jobs, verdict.missing)}"


def describe_absent(verdict: Verdict) -> str:
    """The data and weights that are missing here and were not compared."""
    names = ", ".join(verdict.absent)
    return f"Missing here, so not compared: {names}"


def describe_due(jobs: Sequence[Job], verdict: Verdict) -> str:
    """The number of jobs that a run would start, by rule."""
    due = [i for i, answer in verdict.due.items() if answer == Due.YES]
    perhaps = [i for i, answer in verdict.due.items() if answer == Due.PERHAPS]
    waits = [i for i, answer in verdict.due.items() if answer == Due.WAITS]
    if not due and not perhaps:
        return "No job is due."
    lines = [f"{len(due)} of {len(jobs)} jobs are due: {_count(jobs, due)}"]
    if perhaps:
        lines.append(f"{len(perhaps)} more perhaps: {_count(jobs, perhaps)}")
    if waits:
        lines.append(f"{len(waits)} only if those are: {_count(jobs, waits)}")
    return "\n".join(lines)


def describe_still_due(names: Sequence[str]) -> str:
    """The error of a run whose jobs all succeeded, but which left some due."""
    counted = Counter(names)
    shown = ", ".join([*counted][:N_NAMES]) + (", …" if len(counted) > N_NAMES else "")
    n = f"{len(names)} job is" if len(names) == 1 else f"{len(names)} jobs are"
    return (
        f"{n} still due, since code, settings or files changed during this run: "
        f"{shown}\nRun the same command again."
    )


def _group(
    jobs: Sequence[Job], changes: dict[int, tuple[str, ...]]
) -> Iterable[tuple[list[int], tuple[str, ...]]]:
    """Group jobs of a rule that have the same changes."""
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, sentences in changes.items():
        groups.setdefault((jobs[i].rule, sentences), []).append(i)
    return [(places, sentences) for (_, sentences), places in groups.items()]


def _changed_images(job: Job, changes: Sequence[str]) -> Iterable[str]:
    """The names of images that changed since a job recorded them."""
    for images in images_of(job):
        if any(change.startswith(f"{images.what} ") for change in changes):
            yield from images.unlike(job.outputs[0])


def _first(sentences: Sequence[str], indent: int = 4) -> list[str]:
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
