"""Schema and reference are made from the types of settings."""

import dataclasses
import inspect
import re
from typing import Literal

import pytest
import yaml
from jsonschema import Draft202012Validator

from vitproto.core.bounds import Count, Says
from vitproto.core.project import PROJECT
from vitproto.settings.field_help import field_help
from vitproto.settings.reference import write_reference
from vitproto.settings.schema import sections_of, write_schema
from vitproto.settings.study_tree import Study


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is trained."""

    n_steps: Count
    """Steps
    of training."""
    device: str = "cpu"
    """The workflow decides."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Training):
    """A toy study."""

    kind: Literal["a", "b"]
    """Which kind."""
    more: Training | None
    """May be left out."""


def accepts(config: dict) -> bool:
    schema = yaml.safe_load(write_schema(Toy))
    return Draft202012Validator(schema).is_valid(config)


def test_the_schema_takes_what_the_types_take_and_nothing_else():
    assert accepts({"n_steps": 1, "kind": "a"})
    assert accepts({"n_steps": 1, "kind": "b", "more": {"n_steps": 2}})
    assert not accepts({"n_steps": 0, "kind": "a"})
    assert not accepts({"n_steps": 1.5, "kind": "a"})
    assert not accepts({"n_steps": 1, "kind": "c"})
    assert not accepts({"n_steps": 1})
    assert not accepts({"n_steps": 1, "kind": "a", "more": {}})
    # A field with a default is the workflow's, not the user's.
    assert not accepts({"n_steps": 1, "kind": "a", "device": "cuda"})


def test_the_schema_says_in_words_what_is_expected_and_what_a_key_is_for():
    schema = yaml.safe_load(write_schema(Toy))
    assert schema["expected"] == "a section with n_steps, kind and more"
    steps = schema["properties"]["n_steps"]
    assert steps["expected"] == "a whole number of at least 1"
    assert steps["description"] == "Steps of training."


def test_the_reference_has_a_table_for_each_section_with_a_row_for_each_key():
    text = write_reference(Toy)
    assert "| `n_steps` | a whole number of at least 1 | Steps of training. |" in text
    assert r"| `more`\* | [section](#more) | May be left out. |" in text
    assert "## `more`\n\nHow it is trained.\n" in text
    assert "device" not in text


def test_a_field_without_help_is_refused():
    @dataclasses.dataclass
    class Mute:
        n_steps: int
        """Steps."""
        width: Says

    with pytest.raises(ValueError, match="Mute.width has no help: write a text under"):
        field_help(Mute)


@pytest.mark.parametrize(
    ("file", "write"),
    [
        ("workflow/schemas/config.schema.yaml", write_schema),
        ("docs/settings.md", write_reference),
    ],
)
def test_the_files_made_from_the_types_are_up_to_date(file, write):
    text = (PROJECT / file).read_text(encoding="utf-8")
    assert text == write(Study), "run make settings"


def test_settings_of_methods_and_stages_check_their_bounds():
    """Those of this room are only a schema; others are made from command lines."""
    todo, seen = [Study], set()
    while todo:
        section = todo.pop()
        seen.add(section)
        schema_types = [hint for hint in _types_in(section) if hint not in seen]
        todo += schema_types
    ours = Study.__module__
    elsewhere = {base for s in seen for base in s.__mro__[:-1]}
    elsewhere = {base for base in elsewhere if base.__module__ != ours}
    assert len(elsewhere) == 14
    for settings in elsewhere:
        assert "check_bounds(self)" in inspect.getsource(settings), settings


def _types_in(section):
    """The dataclasses in a dataclass's fields, however deep in their types."""
    todo = [field.type for field in dataclasses.fields(section)]
    while todo:
        hint = todo.pop()
        yield from sections_of(hint)
        todo += getattr(hint, "__args__", ())


def test_comments_in_presets_do_not_repeat_the_help_of_settings():
    """Comments explain the chosen value; docs/settings.md documents the key."""
    help_text = (PROJECT / "docs/settings.md").read_text(encoding="utf-8")
    phrases = set(phrases_of(help_text))
    repeated = [
        f"{path.name}: {comment}"
        for path in sorted((PROJECT / "config/presets").rglob("*.yaml"))
        for comment in re.findall(r" +# (.*)", path.read_text(encoding="utf-8"))
        if phrases & {*phrases_of(comment)}
    ]
    assert not repeated


def phrases_of(text):
    """All runs of four words."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return zip(words, words[1:], words[2:], words[3:], strict=False)
