"""Graphs of code: compare definitions and their links, wherever they lie.

A definition is identified by its place (`vitproto/core/files.py: whole_file`), and
compared by its text and by the definitions to which its names lead.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

_BETWEEN = "; "


class Node(NamedTuple):
    """A definition, a module that does something, or a data file."""

    digest: str
    """A digest of its text without the names that lead out of it."""
    links: tuple[str, ...] = ()
    """The places to which its names lead, in the order of the names."""


@dataclass(frozen=True)
class Code:
    """All code that a stage can reach."""

    nodes: Mapping[str, Node]
    """Nodes by place."""
    packages: Mapping[str, str]
    """The version of each installed package by name, which is never a file's name."""

    def to_dict(self) -> dict[str, str]:
        """A text for each node (its digest and links) and package (its version)."""
        nodes = {
            place: _BETWEEN.join([node.digest, *node.links])
            for place, node in self.nodes.items()
        }
        return nodes | dict(self.packages)


def digest_of_code(code: Mapping[str, str]) -> str:
    """A digest that does not depend on where definitions lie.

    Args:
        code: a result of `reached`.

    Returns:
        Sixteen hexadecimal digits. Two digests are equal if, and only if, both codes
        have the same definitions with the same links between them.
    """
    graph = _parse(code)
    content = json.dumps([_in_order(graph.nodes), sorted(graph.packages.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def changes_of_code(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The changes of code between two times, one sentence each.

    Code that moved has not changed, nor has code that uses something that changed.

    Args:
        then: an earlier result of `reached`.
        now: today's.

    Returns:
        Nothing if, and only if, `digest_of_code` is the same.
    """
    if digest_of_code(then) == digest_of_code(now):
        return []
    before, after = _parse(then), _parse(now)
    pairs = _pair(before.nodes, after.nodes)
    changes: set[str] = set()
    for place in before.nodes.keys() - pairs.keys():
        changes.add(f"{place} is no longer used")
    for place in after.nodes.keys() - set(pairs.values()):
        changes.add(f"{place} is used now")
    for old, new in pairs.items():
        changes.update(_changes_of_node(old, new, before, after, pairs))
    for name in {*before.packages, *after.packages}:
        was, version = before.packages.get(name), after.packages.get(name)
        if version is None:
            changes.add(f"{name} is no longer used")
        elif was is None:
            changes.add(f"{name} is used now")
        elif was != version:
            changes.add(f"{name}: {was} → {version}")
    return sorted(changes) or ["equal definitions are used in different places"]


def _changes_of_node(
    old: str, new: str, before: Code, after: Code, pairs: Mapping[str, str]
) -> Iterator[str]:
    then, now = before.nodes[old], after.nodes[new]
    if then.digest != now.digest or len(then.links) != len(now.links):
        yield f"{new} changed"
        return
    paired = set(pairs.values())
    for was, link in zip(then.links, now.links, strict=True):
        are_known = was in pairs or link in paired
        if are_known and pairs.get(was) != link:
            # Another definition may lie at the same place.
            changed = f"{new} uses {link} instead of {was}"
            yield f"{link} changed" if link == was else changed


def _parse(code: Mapping[str, str]) -> Code:
    """Parse what `to_dict` writes."""
    nodes = {}
    for place, text in code.items():
        if not place.isidentifier():
            digest, *links = text.split(_BETWEEN)
            # In a note that was edited by hand, places may be missing.
            nodes[place] = Node(digest, tuple(link for link in links if link in code))
    packages = {name: text for name, text in code.items() if name.isidentifier()}
    return Code(nodes, packages)


def _in_order(nodes: Mapping[str, Node]) -> list[list[str | int]]:
    """All nodes, with numbers for places, in an order independent of places.

    Starts with the nodes to which nothing leads, and follows links from there.
    """
    numbers: dict[str, int] = {}
    lines: list[list[str | int]] = []
    links = {(place, link) for place, node in nodes.items() for link in node.links}
    linked = {link for place, link in links if place != link}
    for starts in (nodes.keys() - linked, nodes.keys()):
        while waiting := starts - numbers.keys():
            first = min(nodes[place].digest for place in waiting)
            alike = sorted(place for place in waiting if nodes[place].digest == first)
            new_numbers, new_lines = min(
                (_follow(place, nodes, numbers) for place in alike),
                key=lambda following: following[1],
            )
            numbers |= new_numbers
            lines += new_lines
    return lines


def _follow(
    start: str, nodes: Mapping[str, Node], numbers: Mapping[str, int]
) -> tuple[dict[str, int], list[list[str | int]]]:
    """Number all nodes to which a node leads and that have no number yet."""
    new: dict[str, int] = {}
    waiting = [start]
    while waiting:
        place = waiting.pop()
        if place not in numbers and place not in new:
            new[place] = len(numbers) + len(new)
            waiting += reversed(nodes[place].links)
    known = {**numbers, **new}
    return new, [
        [nodes[place].digest, *(known[link] for link in nodes[place].links)]
        for place in new
    ]


def _pair(then: Mapping[str, Node], now: Mapping[str, Node]) -> dict[str, str]:
    """Match earlier nodes with today's, by place; some have no match."""
    kinds_then, kinds_now = _kinds(then, now)
    # First nodes that are equal with all that they lead to, at the same place; last
    # those that have only the place in common.
    keys: list[Callable[[str, Node, Mapping[str, int]], Hashable]] = [
        lambda place, node, kinds: (place, kinds[place]),
        lambda place, node, kinds: (place, node.digest),
        lambda place, node, kinds: (_name(place), kinds[place]),
        lambda place, node, kinds: (_name(place), node.digest),
        lambda place, node, kinds: place,
    ]
    pairs: dict[str, str] = {}
    left = dict.fromkeys(sorted(now))
    for key in keys:
        places = defaultdict(list)
        for place in left:
            places[key(place, now[place], kinds_now)].append(place)
        for place in sorted(then.keys() - pairs.keys()):
            candidates = places[key(place, then[place], kinds_then)]
            if candidates:
                pairs[place] = candidates.pop(0)
                del left[pairs[place]]
    old, new = _by_name(then.keys() - pairs.keys()), _by_name(left)
    for name in old.keys() & new.keys():
        if len(old[name]) == len(new[name]) == 1:
            pairs[old[name][0]] = new[name][0]
    return pairs


def _kinds(*codes: Mapping[str, Node]) -> list[dict[str, int]]:
    """Numbers that are equal for nodes with equal text and equal links."""
    known: dict[Hashable, int] = {}

    def number(what: Hashable) -> int:
        return known.setdefault(what, len(known))

    kinds = [
        {place: number(node.digest) for place, node in nodes.items()} for nodes in codes
    ]
    n_before, n_kinds = 0, len(known)
    while n_kinds > n_before:
        n_before = n_kinds
        kinds = [
            {
                place: number((of[place], *(of[link] for link in node.links)))
                for place, node in nodes.items()
            }
            for nodes, of in zip(codes, kinds, strict=True)
        ]
        n_kinds = len({kind for of in kinds for kind in of.values()})
    return kinds


def _by_name(places: Iterable[str]) -> dict[str, list[str]]:
    by_name: dict[str, list[str]] = defaultdict(list)
    for place in places:
        by_name[_name(place)].append(place)
    return by_name


def _name(place: str) -> str:
    """The name of a node without its place."""
    file, _, name = place.partition(": ")
    return name or file.rpartition("/")[2]
