"""Say in the type of a setting which values it may have.

    n_until_dead: Count
    learning_rates: Annotated[tuple[Positive, ...], Items(least=1, different=True)]

`check_bounds` refuses other values when settings are made, and the schema of
configurations is made from the same types, so that bounds are written once.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union


@dataclasses.dataclass(frozen=True)
class AtLeast:
    """A number of this size or above."""

    low: int


@dataclasses.dataclass(frozen=True)
class Above:
    """A number above this one."""

    low: int


@dataclasses.dataclass(frozen=True)
class Below:
    """A number below this one."""

    high: int


@dataclasses.dataclass(frozen=True)
class AtMost:
    """A number of this size or below."""

    high: int


@dataclasses.dataclass(frozen=True)
class Items:
    """A list with a minimum length, and without repeats if `different`."""

    least: int
    different: bool


@dataclasses.dataclass(frozen=True)
class Matches:
    """Text that a regular expression matches as a whole."""

    pattern: str


@dataclasses.dataclass(frozen=True)
class Says:
    """A description of valid values, where the type alone says too little."""

    text: str


Count = Annotated[int, AtLeast(1)]
Index = Annotated[int, AtLeast(0)]
Positive = Annotated[float, Above(0)]
NotNegative = Annotated[float, AtLeast(0)]
Share = Annotated[float, Above(0), AtMost(1)]
OpenShare = Annotated[float, Above(0), Below(1)]


def check_bounds(settings: Any) -> None:
    """Refuse settings outside the bounds that their types say.

    Args:
        settings: a dataclass; its `__post_init__` calls this.

    Raises:
        ValueError: the first field with such a value, and what to write.
    """
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if not _is_within(value, hints[field.name]):
            raise ValueError(
                f"{field.name} is {value}: write {describe(hints[field.name])}"
            )


def unpack(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its bounds, and the bounds."""
    if typing.get_origin(hint) is Annotated:
        return hint.__origin__, hint.__metadata__
    return hint, ()


def is_union(hint: Any) -> bool:
    """Whether a type is one of several, such as `int | None`."""
    return typing.get_origin(hint) in (Union, types.UnionType)


def is_list(hint: Any) -> bool:
    """Whether a type is a tuple, which YAML and command lines write as a list."""
    return typing.get_origin(hint) is tuple


def without_none(hint: Any) -> list[Any]:
    """The types that a union allows, but for None."""
    return [part for part in typing.get_args(hint) if part is not type(None)]


def describe(hint: Any) -> str:
    """Describe the values of a type: `a whole number of at least 1`."""
    base, bounds = unpack(hint)
    if said := [bound.text for bound in bounds if isinstance(bound, Says)]:
        return said[0]
    if is_list(base):
        return f"a list of {_items(base, bounds)}"
    if is_union(base):
        single, *others = without_none(base)
        if others and all(is_list(unpack(other)[0]) for other in others):
            return f"{describe(single)}, or a list of them"
        return _enumerate([describe(part) for part in (single, *others)])
    if typing.get_origin(base) is Literal:
        return _enumerate([str(value) for value in typing.get_args(base)])
    if base is bool:
        return "true or false"
    if base in (int, float):
        noun = "a whole number" if base is int else "a number"
        return f"{noun}{_limits(bounds)}"
    if dataclasses.is_dataclass(base):
        fields = dataclasses.fields(base)
        names = [f.name for f in fields if f.default is dataclasses.MISSING]
        return f"a section with {_enumerate(names, 'and')}"
    if typing.get_origin(base) is Mapping:
        return "a section with a key for each name"
    return "text"


def _items(base: Any, bounds: tuple[Any, ...]) -> str:
    item, *others = typing.get_args(base)
    many = describe(item)
    if isinstance(unpack(item)[0], type) and unpack(item)[0] in (int, float):
        many = re.sub("^a (whole )?number", r"\1numbers", many)
    if others and others[0] is not Ellipsis:
        return f"{ {2: 'two', 3: 'three'}[1 + len(others)] } {many}"
    is_different = any(isinstance(b, Items) and b.different for b in bounds)
    return f"different {many}" if is_different else many


def _limits(bounds: tuple[Any, ...]) -> str:
    words = []
    for bound in bounds:
        if isinstance(bound, AtLeast):
            words.append(f"of at least {bound.low}")
        elif isinstance(bound, Above):
            words.append(f"above {bound.low}")
        elif isinstance(bound, Below):
            words.append(f"below {bound.high}")
        elif isinstance(bound, AtMost):
            words.append(f"up to {bound.high}")
    return f" {' and '.join(words)}" if words else ""


def _enumerate(words: list[str], last: str = "or") -> str:
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def _is_within(value: Any, hint: Any) -> bool:
    base, bounds = unpack(hint)
    if is_list(base):
        item = typing.get_args(base)[0]
        if not all(_is_within(part, item) for part in value):
            return False
    if isinstance(value, float) and bounds and not math.isfinite(value):
        return False
    return all(_holds(bound, value) for bound in bounds)


def _holds(bound: Any, value: Any) -> bool:
    if isinstance(bound, AtLeast):
        return value >= bound.low
    if isinstance(bound, Above):
        return value > bound.low
    if isinstance(bound, Below):
        return value < bound.high
    if isinstance(bound, AtMost):
        return value <= bound.high
    if isinstance(bound, Items):
        n_different = len(set(value)) if bound.different else len(value)
        return len(value) >= bound.least and n_different == len(value)
    if isinstance(bound, Matches):
        return re.fullmatch(bound.pattern, value) is not None
    return True
