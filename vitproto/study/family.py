"""Families of runs, and checks that a file holds the results of a family."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from vitproto.study.run import Run

AT_ONCE = 1000
"""Most families or runs in one argument of a command."""


class Family(NamedTuple):
    """Runs that one job fits, one job scores and one job selects from."""

    encoder: str
    layer: int
    method: str

    def __str__(self) -> str:
        return f"{self.encoder}/layer{self.layer}/{self.method}"

    @classmethod
    def parse(cls, text: str) -> "Family":
        """The family of a text such as `siglip-vit-l16-256/layer23/random`."""
        match = re.fullmatch(r"([^/]+)/layer([0-9]+)/([^/]+)", text)
        if match is None:
            raise ValueError(
                f"{text!r} names no family: write it like clip-vit-b16/layer11/random"
            )
        return cls(match[1], int(match[2]), match[3])


@dataclass(frozen=True)
class FittedFamily:
    """The family of the prototypes that a file lists."""

    fit_dataset: str
    """The data set that the prototypes are fitted to."""
    encoder: str
    """The encoder that recorded the activations."""
    layer: int
    """The block that the activations come from, counted from 0."""
    method: str
    """The method that makes the prototypes."""


@dataclass(frozen=True)
class ScoredFamily(FittedFamily):
    """The family of the scores that a file holds."""

    dataset: str
    """The data set whose images are scored."""


@dataclass(frozen=True)
class SelectedFamily:
    """The family of rows of `ap.csv`, which do not say what it was fitted to."""

    encoder: str
    """The encoder that recorded the activations."""
    layer: int
    """The block whose output they are, counted from 0."""
    method: str
    """How the prototypes are made."""
    dataset: str
    """The data set whose images are scored."""


def write_families(families: Mapping[Family, Sequence[Run]]) -> list[str]:
    """Write families and their runs as arguments: one for all with the same runs.

    An example is `clip/layer3/random,clip/layer7/random:k128-seed0,k512-seed0`. Long
    lists are split: Linux takes no argument above 128 kB.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for family, runs in families.items():
        alike.setdefault(tuple(run.name for run in runs), []).append(str(family))
    return [
        f"{','.join(some)}:{','.join(names)}"
        for runs, same in alike.items()
        for some in _cut(same)
        for names in _cut(runs)
    ]


def read_families(texts: Sequence[str]) -> dict[Family, list[str]]:
    """Read the runs of each family from what `write_families` wrote.

    Raises:
        ValueError: a text has another form, or names a run of a family twice.
    """
    families: dict[Family, list[str]] = {}
    for text in texts:
        same, _, runs = text.partition(":")
        names = [Run.parse(name).name for name in runs.split(",")]
        for family in map(Family.parse, same.split(",")):
            families.setdefault(family, []).extend(names)
    for family, names in families.items():
        if len(set(names)) < len(names):
            raise ValueError(f"{family} is named with the same run twice")
    return families


def _cut(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[i : i + AT_ONCE] for i in range(0, len(items), AT_ONCE)]


def check_family(
    path: Path,
    found: Mapping[str, object],
    expected: FittedFamily | SelectedFamily,
    remedy: str,
) -> None:
    """Refuse a file that holds the results of another family.

    Args:
        path: the file, for the message.
        found: the file's own description, by the names of the fields.
        expected: the family that it should hold.
        remedy: what to do otherwise, for the message.

    Raises:
        ValueError: it is another family's.
    """
    wanted = asdict(expected)
    differ = [name for name, value in wanted.items() if found.get(name) != value]
    if differ:
        holds = ", ".join(f"{name} {found.get(name, '?')}" for name in differ)
        expects = ", ".join(f"{name} {wanted[name]}" for name in differ)
        raise ValueError(
            f"{path} is another family's: it says {holds}, expected {expects}: {remedy}"
        )


def check_runs(
    path: Path, found: Collection[str], expected: Collection[str], remedy: str
) -> None:
    """Refuse a file that does not hold exactly these runs of its family.

    Raises:
        ValueError: it lacks a run, or holds another one.
    """
    missing, surplus = set(expected) - set(found), set(found) - set(expected)
    if missing or surplus:
        raise ValueError(f"{path} {describe_difference(missing, surplus)}: {remedy}")


def describe_difference(missing: Collection[str], surplus: Collection[str]) -> str:
    """Name what is missing and what is surplus: the first, and the number of others."""
    parts = []
    if missing:
        parts.append(f"lacks {_first(missing)}")
    if surplus:
        parts.append(f"holds {_first(surplus)}, which should not be there")
    return ", and ".join(parts)


def _first(names: Collection[str]) -> str:
    first, n_more = min(names), len(names) - 1
    return f"{first} and {n_more} more" if n_more else first
