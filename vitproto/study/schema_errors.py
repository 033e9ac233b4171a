"""Describe how a configuration violates the schema.

The schema's keyword `expected` describes valid values. It completes the sentence
"VALUE is not EXPECTED".
"""

import datetime
import difflib
from collections.abc import Iterable, Iterator

from jsonschema import Draft202012Validator, ValidationError

from vitproto.study.problems import Config, Problem


def schema_problems(config: Config, validator: Draft202012Validator) -> list[Problem]:
    """All violations of the schema, in the order of keys and of lists."""
    errors = sorted(validator.iter_errors(config), key=lambda e: _order(e.path))
    # jsonschema complains once for each key that a section lacks; once is enough.
    return list(dict.fromkeys(p for error in errors for p in _in_words(error)))


def _order(path: Iterable[str | int]) -> list[tuple[bool, int, str]]:
    """Sort positions in lists as numbers: `runs.8` before `runs.10`."""
    return [
        (False, key, "") if isinstance(key, int) else (True, 0, str(key))
        for key in path
    ]


def _in_words(error: ValidationError) -> Iterator[Problem]:
    """Problems with their remedies, one for each part that an error covers."""
    path = tuple(error.absolute_path)
    schema = error.schema
    if error.validator == "additionalProperties":
        known = sorted(schema["properties"])
        for key in sorted(set(error.instance) - set(known), key=str):
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = (
                f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            )
            yield Problem((*path, key), f"is not a known key: {hint}")
    elif error.validator == "required":
        missing = [key for key in schema["required"] if key not in error.instance]
        yield Problem(path, f"lacks {', '.join(missing)}")
    elif "propertyNames" in error.schema_path:
        yield Problem((*path, error.instance), f"is not {schema['expected']}")
    elif inner := [part for part in error.context or () if _is_within(part)]:
        # A list or a section where one value may stand, too: what is in it is to blame.
        for part in sorted(inner, key=lambda e: _order(e.path)):
            yield from _in_words(part)
    else:
        text = f"{error.instance!r} is not {schema['expected']}"
        yield Problem(path, text + _yaml_hint(error.instance, schema.get("type")))


def _is_within(error: ValidationError) -> bool:
    """Whether a value is of the right kind, and something in it is wrong."""
    return bool(error.path) or error.validator in ("additionalProperties", "required")


def _yaml_hint(value: object, needed: str | None) -> str:
    """YAML reads some numbers, such as 1e-4, as text, and some text as numbers, dates
    or truth values; say how to write them."""
    if needed == "string" and isinstance(value, int | float | datetime.date):
        kind = "a date" if isinstance(value, datetime.date) else "a number"
        kind = "true or false" if isinstance(value, bool) else kind
        return f": YAML reads this as {kind}, write it in quotes"
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None:
        return ""
    digits = f"{number:.12f}".rstrip("0").rstrip(".")
    if digits == value:
        return (
            ": quotes make it text, and so does --config inside braces: write it "
            "without quotes into a file"
        )
    return f": YAML reads {value} as text, write {digits} without quotes"
