"""Show the settings of a study, and the file and line that each comes from."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitproto.study.presets import Resolved
from vitproto.study.problems import KeyPath

ELSEWHERE = ("runs",)
"""Sections that are not shown: `make runs` lists the runs themselves."""


def describe_settings(resolved: Resolved) -> str:
    """A line for each setting of a study: key, file and line, value."""
    rows = [("setting", "from", "value")]
    for path, value in _leaves(resolved.config):
        if path[0] not in ELSEWHERE:
            place = resolved.lines.find(path)
            stands = "" if place is None else f"{_short(place[0])}:{place[1]}"
            rows.append((".".join(map(str, path)), stands, _in_words(value)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{key:{widths[0]}}  {stands:{widths[1]}}  {value}"
        for key, stands, value in rows
    )


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for i, item in enumerate(value):
            yield from _leaves(item, (*path, i))
    else:
        yield path, value


def _short(file: Path) -> str:
    """Shorten a path in the current folder to a relative one."""
    absolute = file.absolute()
    is_below = absolute.is_relative_to(Path.cwd())
    return os.path.relpath(absolute) if is_below else str(file)


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_in_words, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
