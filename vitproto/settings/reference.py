"""Write the reference of all settings from their types."""

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from vitproto.core.bounds import describe, is_list, unpack
from vitproto.settings.field_help import field_help
from vitproto.settings.schema import (
    keys_of,
    may_be_left_out,
    sections_of,
    without_sections,
)

HEAD = """\
# Settings

Written by `make settings`; do not edit. [config/README.md](../config/README.md) says
how a configuration is put together. A key marked \\* may be left out.
"""


def write_reference(study: type) -> str:
    """All keys of a study as Markdown: a table for each section."""
    return "\n".join([HEAD, *_section([study], "", "")]).rstrip() + "\n"


def _section(sections: list[type], path: str, text: str) -> list[str]:
    """The table of a section, and then those of the sections in it."""
    summary = text if len(sections) > 1 else inspect.getdoc(sections[0])
    lines = [f"## `{path}`\n", f"{summary}\n"] if path else []
    lines += ["| key | value | says |", "| --- | --- | --- |"]
    inner = []
    for key, (hint, text) in _keys(sections).items():
        place = f"{path}.{key}" if path else key
        below, suffix = _below(hint)
        if below:
            inner += _section(below, place + suffix, text)
            value = f"[section](#{_anchor(place + suffix)})"
            if suffix == ".NAME" and (others := _beside_section(hint)):
                value = f"{' or '.join(map(describe, others))}, or a {value}"
        else:
            value = _cell(describe(hint))
        mark = r"\*" if may_be_left_out(hint) else ""
        lines.append(f"| `{key}`{mark} | {value} | {_cell(text)} |")
    return [*lines, "", *inner]


def _keys(sections: list[type]) -> dict[str, tuple[Any, str]]:
    """Types and help of the keys that one of some sections has."""
    keys: dict[str, tuple[Any, str]] = {}
    for section in sections:
        texts = field_help(section)
        for key, hint in keys_of(section).items():
            keys.setdefault(key, (hint, texts[key]))
    return keys


def _below(hint: Any) -> tuple[list[type], str]:
    """The sections that a key holds, and how paths go on to them."""
    base = unpack(hint)[0]
    if sections := sections_of(base):
        return sections, ""
    if typing.get_origin(base) is Mapping:
        return sections_of(unpack(typing.get_args(base)[1])[0]), ".NAME"
    if is_list(base):
        return sections_of(unpack(typing.get_args(base)[0])[0]), "[]"
    return [], ""


def _beside_section(hint: Any) -> list[Any]:
    """What may stand under a name instead of a section."""
    return without_sections(unpack(typing.get_args(unpack(hint)[0])[1])[0])


def _anchor(path: str) -> str:
    """How GitHub links to a heading."""
    return "".join(c for c in path.lower() if c.isalnum() or c in "-_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
