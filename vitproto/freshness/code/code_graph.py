"""Code as definitions and what their names lead to, wherever these lie.

A definition is known by where it lies (`vitproto/core/files.py: whole_file`), and
counts by what it says and by the definitions that its names lead to.
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
    """Of what it says, names apart."""
    links: tuple[str, ...] = ()
    """Where that lies to which its names lead, in the order of the names."""


@dataclass(frozen=True)
class Code:
    """All code that a stage can reach."""

    nodes: Mapping[str, Node]
    """By where they lie."""
    packages: Mapping[str, str]
    """The version of each package of others, by its name: never that of a file."""

    def to_dict(self) -> dict[str, str]:
        """A text for each: the digest, and what its names lead to."""
        nodes = {
            place: _BETWEEN.join([node.digest, *node.links])
            for place, node in self.nodes.items()
        }
        return nodes | dict(self.packages)


def digest_of_code(code: Mapping[str, str]) -> str:
    """A digest that does not depend on where definitions lie.

    Args:
        code: what `reached` gives.

    Returns:
        Sixteen hexadecimal digits. They are those of other code if, and only if, both
        consist of the same definitions, whose names lead to the same in the same way.
    """
    read = _read(code)
    content = json.dumps([_in_order(read.nodes), sorted(read.packages.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def changes_of_code(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed between two times, one sentence each.

    What moved has not changed, and what uses something that changed has not either.

    Args:
        then: what `reached` gave at some time.
        now: what it gives today.

    Returns:
        Nothing if, and only if, `digest_of_code` is the same.
    """
    if digest_of_code(then) == digest_of_code(now):
        return []
    before, after = _read(then), _read(now)
    pairs = _pair(before.nodes, after.nodes)
    said: set[str] = set()
    for place in before.nodes.keys() - pairs.keys():
        said.add(f"{place} is no longer used")
    for place in after.nodes.keys() - set(pairs.values()):
        said.add(f"{place} is used now")
    for old, new in pairs.items():
        said.update(_changes_of_node(old, new, before, after, pairs))
    for name in {*before.packages, *after.packages}:
        was, version = before.packages.get(name), after.packages.get(name)
        if version is None:
            said.add(f"{name} is no longer used")
        elif was is None:
            said.add(f"{name} is used now")
        elif was != version:
            said.add(f"{name}: {was} → {version}")
    return sorted(said) or ["definitions that say the same are shared in another way"]


def _changes_of_node(
    old: str, new: str, before: Code, after: Code, pairs: Mapping[str, str]
) -> Iterator[str]:
    then, now = before.nodes[old], after.nodes[new]
    if then.digest != now.digest or len(then.links) != len(now.links):
        yield f"{new} changed"
        return
    found = set(pairs.values())
    for was, link in zip(then.links, now.links, strict=True):
        are_known = was in pairs or link in found
        if are_known and pairs.get(was) != link:
            # Something else may lie where it lay.
            changed = f"{new} uses {link} instead of {was}"
            yield f"{link} changed" if link == was else changed


def _read(code: Mapping[str, str]) -> Code:
    """Take apart what `to_dict` writes."""
    nodes = {}
    for place, text in code.items():
        if not place.isidentifier():
            digest, *links = text.split(_BETWEEN)
            # A note that was edited may lack what it links to.
            nodes[place] = Node(digest, tuple(link for link in links if link in code))
    packages = {name: text for name, text in code.items() if name.isidentifier()}
    return Code(nodes, packages)


def _in_order(nodes: Mapping[str, Node]) -> list[list[str | int]]:
    """All nodes, with numbers for places, in an order that places do not decide.

    Begins with those to which nothing leads, and follows links from there.
    """
    numbers: dict[str, int] = {}
    lines: list[list[str | int]] = []
    links = {(place, link) for place, node in nodes.items() for link in node.links}
    linked = {link for place, link in links if place != link}
    for starts in (nodes.keys() - linked, nodes.keys()):
        while waiting := starts - numbers.keys():
            first = min(nodes[place].digest for place in waiting)
            alike = sorted(place for place in waiting if nodes[place].digest == first)
            found, told = min(
                (_follow(place, nodes, numbers) for place in alike),
                key=lambda following: following[1],
            )
            numbers |= found
            lines += told
    return lines


def _follow(
    start: str, nodes: Mapping[str, Node], numbers: Mapping[str, int]
) -> tuple[dict[str, int], list[list[str | int]]]:
    """Number all that a node leads to and that has no number yet."""
    found: dict[str, int] = {}
    waiting = [start]
    while waiting:
        place = waiting.pop()
        if place not in numbers and place not in found:
            found[place] = len(numbers) + len(found)
            waiting += reversed(nodes[place].links)
    known = {**numbers, **found}
    return found, [
        [nodes[place].digest, *(known[link] for link in nodes[place].links)]
        for place in found
    ]


def _pair(then: Mapping[str, Node], now: Mapping[str, Node]) -> dict[str, str]:
    """Which node of today is which of then? By place; some have none."""
    kinds_then, kinds_now = _kinds(then, now)
    # From those that say and lead to the same all the way, and lie where they lay, down
    # to those that have the name alone.
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
            found = places[key(place, then[place], kinds_then)]
            if found:
                pairs[place] = found.pop(0)
                del left[pairs[place]]
    old, new = _by_name(then.keys() - pairs.keys()), _by_name(left)
    for name in old.keys() & new.keys():
        if len(old[name]) == len(new[name]) == 1:
            pairs[old[name][0]] = new[name][0]
    return pairs


def _kinds(*codes: Mapping[str, Node]) -> list[dict[str, int]]:
    """Numbers that are equal where nodes say the same and lead to the same."""
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
    found: dict[str, list[str]] = defaultdict(list)
    for place in places:
        found[_name(place)].append(place)
    return found


def _name(place: str) -> str:
    """What a node is called wherever it lies."""
    file, _, name = place.partition(": ")
    return name or file.rpartition("/")[2]
