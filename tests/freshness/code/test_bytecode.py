"""Cached bytecode is used only for today's sources."""

import os
import subprocess
import sys

import pytest

from vitproto.freshness.code.bytecode import check_by_content


@pytest.fixture
def project(tmp_path):
    for folder in ("scripts", "vitproto"):
        (tmp_path / folder).mkdir()
    (tmp_path / "vitproto/levels.py").write_text("LEVEL = 3\n")
    return tmp_path


def level(project) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    show = "from vitproto.levels import LEVEL; print(LEVEL)"
    command = [sys.executable, "-c", show]
    shown = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, check=True
    )
    return shown.stdout.decode().strip()


def edit_in_secret(file, old: str, new: str) -> None:
    """Change a file, but neither its size nor its date."""
    stat = file.stat()
    file.write_text(file.read_text().replace(old, new))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_an_edit_that_keeps_size_and_date_is_run(project):
    file = project / "vitproto/levels.py"
    os.utime(file, (10**9, 10**9))
    assert level(project) == "3"
    edit_in_secret(file, "3", "4")
    assert level(project) == "3"  # Python goes by size and date
    check_by_content(project)
    assert level(project) == "4"
    edit_in_secret(file, "4", "5")
    assert level(project) == "5"  # from now on by content


def test_a_file_that_cannot_be_compiled_is_left_to_python(project):
    file = project / "vitproto/levels.py"
    level(project)
    file.write_text("LEVEL = \n")
    check_by_content(project)
    with pytest.raises(subprocess.CalledProcessError):
        level(project)


def test_a_disk_that_is_only_readable_is_no_failure(project, monkeypatch):
    level(project)

    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr("py_compile.compile", refuse)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    check_by_content(project)
    assert level(project) == "3"
