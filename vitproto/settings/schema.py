"""Make the JSON schema of configurations from their types."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal

import yaml

from vitproto.core.bounds import (
    Above,
    AtLeast,
    AtMost,
    Below,
    Items,
    Matches,
    describe,
    is_list,
    is_union,
    unpack,
    without_none,
)
from vitproto.settings.field_help import field_help

HEAD = """\
# Written by `make settings` from vitproto/settings/study_tree.py; do not edit.
# `expected` completes the sentence "... is not ..." in an error message.
$schema: https://json-schema.org/draft/2020-12/schema
"""

Schema = dict[str, Any]


def write_schema(study: type) -> str:
    """The schema of a dataclass and all that it holds, as YAML."""
    schema = schema_of(study)
    return HEAD + yaml.dump(schema, Dumper=_Dumper, sort_keys=False, width=1000)


def schema_of(hint: Any) -> Schema:
    """The schema of a type; `expected` says in words what a value must be."""
    base, bounds = unpack(hint)
    schema = {"expected": describe(hint)} | _of_base(base)
    schema["expected"] = describe(hint)  # for an optional one, its own words
    for bound in bounds:
        schema |= _of_bound(bound)
    return schema


def keys_of(section: type) -> dict[str, Any]:
    """The keys that a configuration may have for a dataclass, and their types.

    A field with a default is not such a key: the workflow sets it.
    """
    hints = typing.get_type_hints(section, include_extras=True)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(section)
        if field.default is dataclasses.MISSING
    }


def may_be_left_out(hint: Any) -> bool:
    """Whether a key of this type may be missing."""
    return type(None) in typing.get_args(unpack(hint)[0])


def sections_of(hint: Any) -> list[type]:
    """The dataclasses of which a section is one."""
    parts = without_none(hint) if is_union(hint) else [hint]
    return [part for part in parts if dataclasses.is_dataclass(part)]


def without_sections(hint: Any) -> list[Any]:
    """The other types that may stand in the place of a section."""
    parts = without_none(hint) if is_union(hint) else [hint]
    return [part for part in parts if not dataclasses.is_dataclass(part)]


def _of_base(base: Any) -> Schema:
    sections = sections_of(base)
    if sections and not without_sections(base):
        return _of_sections(sections)
    if is_union(base):
        parts = without_none(base)
        if len(parts) == 1:
            return schema_of(parts[0])
        return {"anyOf": [schema_of(part) for part in parts]}
    if is_list(base):
        return _of_list(typing.get_args(base))
    if typing.get_origin(base) is Mapping:
        key, value = typing.get_args(base)
        names = {} if key is int else {"propertyNames": schema_of(key)}
        return {
            "type": "object",
            **names,
            "additionalProperties": schema_of(value),
        }
    if typing.get_origin(base) is Literal:
        return {"enum": [*typing.get_args(base)]}
    return {"type": _TYPES[base]}


_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _of_sections(sections: list[type]) -> Schema:
    """The schema of a section that holds the keys of one of some dataclasses."""
    properties: Schema = {}
    required: list[str] = []
    for section in sections:
        texts = field_help(section)
        for key, hint in keys_of(section).items():
            properties.setdefault(key, {"description": texts[key], **schema_of(hint)})
            if key not in required and all(
                key in (others := keys_of(other)) and not may_be_left_out(others[key])
                for other in sections
            ):
                required.append(key)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _of_list(items: tuple[Any, ...]) -> Schema:
    schema = {"type": "array", "items": schema_of(items[0])}
    if items[1:] != (Ellipsis,):
        schema |= {"minItems": len(items), "maxItems": len(items)}
    return schema


def _of_bound(bound: Any) -> Schema:
    if isinstance(bound, AtLeast):
        return {"minimum": bound.low}
    if isinstance(bound, Above):
        return {"exclusiveMinimum": bound.low}
    if isinstance(bound, Below):
        return {"exclusiveMaximum": bound.high}
    if isinstance(bound, AtMost):
        return {"maximum": bound.high}
    if isinstance(bound, Items):
        least = {"minItems": bound.least} if bound.least else {}
        return least | ({"uniqueItems": True} if bound.different else {})
    if isinstance(bound, Matches):
        return {"pattern": bound.pattern}
    return {}


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out instead of referring to the first."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
