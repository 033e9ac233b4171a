"""Imports point downwards, so that each room can be read without those above it."""

import ast

from vitproto.cli import PROJECT

ROOMS = [
    "report",
    "segmentation",
    "features",
    "traits",
    "prototypes",
    "activations",
    "data",
]


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_room_imports_from_a_room_above_it():
    for floor, room in enumerate(ROOMS):
        above = {f"vitproto.{name}" for name in ROOMS[:floor]}
        for file in (PROJECT / "vitproto" / room).rglob("*.py"):
            for module in imports(file):
                assert ".".join(module.split(".")[:2]) not in above, (file, module)


def test_every_room_is_on_the_list():
    folders = {file.parent.name for file in PROJECT.glob("vitproto/*/__init__.py")}
    assert folders == {*ROOMS, "study"}


def test_only_the_command_line_module_calls_tyro():
    for file in (PROJECT / "vitproto").rglob("*.py"):
        if file.name != "cli.py":
            assert "tyro" not in set(imports(file)), file
