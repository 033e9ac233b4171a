"""A user's mistake is one line; our own bug keeps its traceback."""

import ast
import re
import subprocess
import sys

import pytest

from vitproto.core.project import PROJECT
from vitproto.freshness.code.fingerprint import fingerprint

STAGES = sorted((PROJECT / "scripts").glob("*.py"), key=lambda file: file.stem)


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, cwd=PROJECT
    )


@pytest.mark.parametrize("stage", STAGES, ids=lambda file: file.stem)
def test_the_help_of_every_stage_explains_every_argument(stage):
    shown = python(str(stage), "--help")
    assert shown.returncode == 0, shown.stderr
    blocks = shown.stdout.split("│ --")[1:]
    takes_none = f"def {stage.stem}() -> None:" in stage.read_text()
    assert blocks or takes_none or "positional arguments" in shown.stdout
    for block in blocks:
        words = block.replace("│", " ").replace("(required)", " ").split()
        prose = [w for w in words if w.strip(".,;:").isalpha() and not w.isupper()]
        assert len(prose) >= 2, f"{stage.name}: --{block}"


def test_the_help_of_every_argument_opens_with_a_capital():
    for stage in STAGES:
        functions = [
            node
            for node in ast.parse(stage.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name == stage.stem
        ]
        (function,) = functions
        arguments = (ast.get_docstring(function) or "").partition("\nArgs:\n")[2]
        texts = re.findall(r"^    \w+(?:, \w+)*: (.*)", arguments, re.MULTILINE)
        for text in texts:
            assert not text[0].islower(), f"{stage.name}: {text}"


def test_every_stage_can_be_read_on_one_page():
    lines = {stage.stem: len(stage.read_text().splitlines()) for stage in STAGES}
    assert {name: n for name, n in lines.items() if n > 80} == {}


def test_who_reads_only_the_beginning_of_a_help_sees_no_traceback():
    command = [sys.executable, str(PROJECT / "scripts/tabulate_map.py"), "--help"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_users_mistake_is_one_line_and_exit_status_one(tmp_path):
    stage = PROJECT / "scripts/list_cub200.py"
    args = f"--dataset x --root {tmp_path}/gone --images i.csv --splits s.csv"
    shown = python(str(stage), *args.split())
    assert shown.returncode == 1
    assert len(shown.stderr.strip().splitlines()) == 1
    assert shown.stderr.startswith("list_cub200: ")


def test_code_that_changed_since_the_workflow_looked_is_not_run(tmp_path, monkeypatch):
    """Its checkpoint would be stored under the fingerprint of other code."""
    stage = PROJECT / "scripts/list_cub200.py"
    args = f"--dataset x --root {tmp_path}/gone --images i.csv --splits s.csv"
    monkeypatch.setenv("VITPROTO_CODE_OF_list_cub200", "another")
    shown = python(str(stage), *args.split())
    assert shown.returncode == 1
    expected = "list_cub200: its code changed as it started: run the command again\n"
    assert shown.stderr == expected
    monkeypatch.setenv("VITPROTO_CODE_OF_list_cub200", fingerprint("list_cub200"))
    assert "gone" in python(str(stage), *args.split()).stderr


def run_stage(folder, body):
    stage = folder / "break_things.py"
    stage.write_text(
        "from vitproto.launch.cli import run\n"
        "def break_things() -> None:\n"
        f"    {body}\n"
        "run(break_things)\n"
    )
    return python(str(stage))


@pytest.mark.parametrize(
    "body", ["int('x')", "open('/gone')", "raise OSError('of no file system')"]
)
def test_our_own_bug_keeps_its_traceback(tmp_path, body):
    shown = run_stage(tmp_path, body)
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "raise PermissionError(13, 'no', '/a/b')",
            "/a/b cannot be read or written: Permission denied (errno 13). Change the "
            "permissions of the file or its folder, and run again",
        ),
        (
            "open('/tmp', 'w')",
            "/tmp cannot be read or written: Is a directory (errno 21). Name another "
            "file, and run again",
        ),
        (
            "raise OSError(116, 'stale', '/a/b')",
            "/a/b cannot be read or written: Stale file handle (errno 116). Run again "
            "when the file system works",
        ),
        (
            "raise OSError(\"unable to create (name = 'a.h5', errno = 30)\")",
            "unable to create (name = 'a.h5', errno = 30) cannot be read or written: "
            "Read-only file system (errno 30). Change the permissions of the file or "
            "its folder, and run again",
        ),
        (
            "raise MemoryError('8 GB')",
            "there is not enough memory (8 GB): give the job more, or end other "
            "programs",
        ),
    ],
)
def test_the_machine_is_to_blame_in_one_line(tmp_path, body, said):
    shown = run_stage(tmp_path, body)
    assert (shown.returncode, shown.stderr) == (1, f"break_things: {said}\n")
