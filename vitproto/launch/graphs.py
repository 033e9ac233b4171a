"""A study's rules and jobs as graphs, in the text that GitHub draws (Mermaid).

An arrow is left out where others lead from its start to its end. Where jobs wait for
the same others, the arrows meet in a dot: what draws Mermaid stops at 500 lines.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from vitproto.freshness.staleness import Job

_HEAD = ["```mermaid", "flowchart LR"]


def rule_graph(jobs: Sequence[Job]) -> str:
    """Which rule waits for which, each in its room.

    Args:
        jobs: all jobs of a study, each after those that it needs.
    """
    lines = [*_HEAD]
    for room in dict.fromkeys(job.room for job in jobs):
        rules = dict.fromkeys(job.rule for job in jobs if job.room == room)
        lines += [f"    subgraph {room}", *(f"        {rule}" for rule in rules)]
        lines.append("    end")
    arrows = [(jobs[need].rule, job.rule) for job in jobs for need in job.needs]
    return _finish(lines, ((start, end) for start, end in arrows if start != end))


def job_graph(jobs: Sequence[Job]) -> str:
    """Which job waits for which; those for parts of a data set are drawn as one.

    Args:
        jobs: all jobs of a study, each after those that it needs.
    """
    n_parts = Counter(job.name for job in jobs)
    ids = {name: f"job{i}" for i, name in enumerate(n_parts)}
    lines = [*_HEAD]
    for name, n in n_parts.items():
        label = "<br>".join([*name.split(), *([f"{n} jobs"] if n > 1 else [])])
        lines.append(f'    {ids[name]}["{label}"]')
    arrows = [(jobs[need].name, job.name) for job in jobs for need in job.needs]
    return _finish(lines, ((ids[start], ids[end]) for start, end in arrows))


def _finish(lines: list[str], arrows: Iterable[tuple[str, str]]) -> str:
    """Add the arrows. Where several ends share all their starts, they meet in a dot."""
    starts: dict[str, list[str]] = {}
    for start, end in _direct(arrows):
        starts.setdefault(end, []).append(start)
    ends: dict[tuple[str, ...], list[str]] = {}
    for end, found in starts.items():
        ends.setdefault(tuple(sorted(found)), []).append(end)
    for i, (found, alike) in enumerate(ends.items()):
        if len(found) > 2 and len(alike) > 2:
            dot = f"dot{i}"
            lines += [f"    {dot}(( ))", *(f"    {start} --- {dot}" for start in found)]
            found = (dot,)
        lines += [f"    {start} --> {end}" for end in alike for start in found]
    return "\n".join([*lines, "```", ""])


def _direct(arrows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that say something which others do not say together."""
    starts: dict[str, dict[str, None]] = {}
    for start, end in arrows:
        starts.setdefault(end, {})[start] = None

    @cache
    def before(end: str) -> frozenset[str]:
        nearest = starts.get(end, {})
        return frozenset(nearest).union(*map(before, nearest))

    return [
        (start, end)
        for end, nearest in starts.items()
        for start in nearest
        if not any(start in before(other) for other in nearest)
    ]
