"""The imports, rules and tests agree with the table of rooms in CONTRIBUTING.md."""

import ast
import re
from typing import NamedTuple

from vitproto.core.project import PROJECT

PACKAGE = PROJECT / "vitproto"


class Room(NamedTuple):
    floor: int
    rules: str


def table_of_rooms():
    """The rows of the table, by the name of the room: `report/traits`."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([a-z/]+)/` \| ([^|]*)\|", text, re.MULTILINE)
    return {name: Room(int(floor), rules.strip()) for floor, name, rules in rows}


ROOMS = table_of_rooms()


def room_of(path):
    return path.relative_to(PACKAGE).parent.as_posix()


def imported_modules(file):
    """The names of all modules that a file imports, in functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def files_of(module):
    """The file of one of our modules; nothing for other names."""
    path = PROJECT.joinpath(*module.split("."))
    return [
        file
        for file in (path.with_suffix(".py"), path / "__init__.py")
        if file.exists()
    ]


def rooms_imported_by(file):
    return {
        room_of(imported)
        for module in imported_modules(file)
        if module.startswith("vitproto.")
        for imported in files_of(module)
    }


def test_every_folder_of_the_package_is_a_room_on_the_list():
    modules = (file for file in PACKAGE.glob("*/**/*.py") if file.stem != "__init__")
    folders = {room_of(file) for file in modules}
    assert folders == set(ROOMS)
    assert [file.name for file in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_a_room_imports_only_from_floors_below():
    arrows_up = [
        f"{file.relative_to(PROJECT)} imports from {other}"
        for name, room in ROOMS.items()
        for file in (PACKAGE / name).glob("*.py")
        for other in rooms_imported_by(file) - {name}
        if ROOMS[other].floor >= room.floor
    ]
    assert not arrows_up


def test_modules_of_a_room_do_not_import_in_circles():
    needs = {
        file: {
            imported
            for module in imported_modules(file)
            if module.startswith("vitproto.")
            for imported in files_of(module)
        }
        - {file}
        for file in PACKAGE.rglob("*.py")
    }
    while needs:
        free = {file for file, others in needs.items() if not others & needs.keys()}
        assert free, f"these import each other in circles: {sorted(map(str, needs))}"
        needs = {file: others for file, others in needs.items() if file not in free}


def test_every_file_of_rules_belongs_to_a_room():
    files = {file.name for file in (PROJECT / "workflow/rules").glob("*.smk")}
    named = {
        name for room in ROOMS.values() for name in re.findall(r"\w+\.smk", room.rules)
    }
    assert files - {"common.smk"} == named
    for name in named:
        room = name.removesuffix(".smk").replace("_", "/")
        is_room = any(f"{other}/".startswith(f"{room}/") for other in ROOMS)
        assert is_room, f"{name} is not called after a room"


def test_tests_lie_in_the_room_of_what_they_test():
    for file in (PROJECT / "tests").glob("*/**/test_*.py"):
        room = file.relative_to(PROJECT / "tests").parent.as_posix()
        if room in ("workflow", "cluster", "faults"):  # whole runs, and all rooms
            continue
        if room == "scripts":
            stage = PROJECT / "scripts" / file.name.removeprefix("test_")
            assert stage.is_file(), f"{file} is not called after a stage"
        else:
            assert room in ROOMS, file
            package = f"vitproto.{room.replace('/', '.')}"
            assert package in file.read_text(encoding="utf-8"), f"{file} uses no {room}"


def test_only_the_command_line_module_calls_tyro():
    for file in PACKAGE.rglob("*.py"):
        if file.name != "cli.py":
            assert "tyro" not in set(imported_modules(file)), file
