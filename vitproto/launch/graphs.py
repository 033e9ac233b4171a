"""Graphs of a study's rules and jobs in Mermaid, which GitHub draws.

Arrows that a longer path implies are left out. Where several jobs need the same
others, the arrows meet in a dot: Mermaid refuses more than 500 arrows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import networkx as nx

from vitproto.freshness.staleness import Job

_HEAD = ["```mermaid", "flowchart LR"]


def rule_graph(jobs: Sequence[Job]) -> str:
    """Draw which rule needs which, grouped by room.

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
    """Draw which job needs which; the jobs for parts of a data set are a single node.

    So are jobs of several rules for the same run or family, if they need the same jobs.

    Args:
        jobs: all jobs of a study, each after those that it needs.
    """
    n_parts = Counter(job.name for job in jobs)
    needs: dict[str, set[str]] = {name: set() for name in n_parts}
    for job in jobs:
        needs[job.name] |= {jobs[need].name for need in job.needs}
    nodes: dict[tuple, list[str]] = {}
    for name in n_parts:
        rule, *place = name.split()
        key = (*place, frozenset(needs[name])) if place else (rule,)
        nodes.setdefault((*key, n_parts[name]), []).append(name)
    ids = {name: f"job{i}" for i, names in enumerate(nodes.values()) for name in names}
    lines = [*_HEAD]
    for names in nodes.values():
        rules = [name.split()[0] for name in names]
        _, *place = names[0].split()
        n = n_parts[names[0]]
        label = "<br>".join([*rules, *place, *([f"{n} jobs"] if n > 1 else [])])
        lines.append(f'    {ids[names[0]]}["{label}"]')
    arrows = [(ids[start], ids[end]) for end in needs for start in needs[end]]
    return _finish(lines, (arrow for arrow in arrows if arrow[0] != arrow[1]))


def _finish(lines: list[str], arrows: Iterable[tuple[str, str]]) -> str:
    """Add the arrows; those that share several starts and ends meet in a dot."""
    starts: dict[str, list[str]] = {}
    for start, end in _direct(arrows):
        starts.setdefault(end, []).append(start)
    ends: dict[tuple[str, ...], list[str]] = {}
    for end, needed in starts.items():
        ends.setdefault(tuple(sorted(needed)), []).append(end)
    for i, (needed, alike) in enumerate(ends.items()):
        if len(needed) > 2 and len(alike) > 2:
            dot = f"dot{i}"
            lines += [f"    {dot}(( ))"]
            lines += [f"    {start} --- {dot}" for start in needed]
            needed = (dot,)
        lines += [f"    {start} --> {end}" for end in alike for start in needed]
    return "\n".join([*lines, "```", ""])


def _direct(arrows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Drop arrows that a longer path implies."""
    arrows = dict.fromkeys(arrows)
    reduced = nx.transitive_reduction(nx.DiGraph(arrows.keys()))
    return [arrow for arrow in arrows if reduced.has_edge(*arrow)]
