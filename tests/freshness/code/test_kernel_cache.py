"""Cached numba kernels are used only for today's sources."""

import os
import shutil
import subprocess
import sys

import pytest

from vitproto.core.project import PROJECT
from vitproto.freshness.code.kernel_cache import digest_with_imports

KERNEL = """
import numba

from vitproto.digits import lowest


@numba.njit(cache=True)
def twice(n):
    return 2 * lowest(n)


print(twice(7), sum(twice.stats.cache_hits.values()))
"""
HELPER = """
import numba

from vitproto.base import BASE


@numba.njit(cache=True)
def lowest(n):
    return n % BASE
"""


@pytest.fixture
def project(tmp_path):
    """A kernel that uses a kernel of another file, which uses a number of a third."""
    package = tmp_path / "vitproto"
    for file in ("freshness/code/kernel_cache.py", "core/project.py", "__init__.py"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / "vitproto" / file, package / file)
    (package / "kernel.py").write_text(KERNEL)
    (package / "digits.py").write_text(HELPER)
    (package / "base.py").write_text("BASE = 4\n")
    (package / "colours.py").write_text("RED = 4\n")
    return tmp_path


def twice_seven(project, **environment) -> tuple[int, bool]:
    """The kernel's result, and whether it came from the cache."""
    environment = {**os.environ, "PYTHONPATH": str(project), **environment}
    del environment["NUMBA_CACHE_LOCATOR_CLASSES"]
    shown = subprocess.run(
        [sys.executable, "-m", "vitproto.kernel"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found, n_kept = map(int, shown.stdout.split())
    return found, n_kept > 0


def test_a_kernel_is_compiled_again_when_what_it_uses_of_others_changes(project):
    assert twice_seven(project) == (6, False)
    assert twice_seven(project) == (6, True)
    for file, old, new in (
        ("base.py", "4", "5"),
        ("digits.py", "n % BASE", "n % BASE + 1"),
    ):
        path = project / "vitproto" / file
        path.write_text(path.read_text().replace(old, new))
        expected = 4 if file == "base.py" else 6
        assert twice_seven(project) == (expected, False)
        assert twice_seven(project) == (expected, True)
    (project / "vitproto/colours.py").write_text("RED = 5\n")
    assert twice_seven(project) == (6, True)


def test_without_a_home_and_beside_read_only_sources_kernels_are_kept_elsewhere(
    project, tmp_path
):
    # Files in place of folders, since root may write everywhere.
    (project / "vitproto/__pycache__").touch()
    (tmp_path / "no_home").touch()
    (tmp_path / "tmp").mkdir()
    places = {
        "HOME": str(tmp_path / "no_home"),
        "XDG_CACHE_HOME": str(tmp_path / "no_home"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    assert twice_seven(project, **places) == (6, False)
    assert twice_seven(project, **places) == (6, True)
    (folder,) = (tmp_path / "tmp").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    # Others could have put code there.
    folder.chmod(0o777)
    assert twice_seven(project, **places) == (6, False)


def test_only_what_a_file_imports_counts(project):
    kernel = project / "vitproto/kernel.py"
    before = digest_with_imports(kernel, project)
    for file, counts in (("colours.py", False), ("base.py", True)):
        (project / "vitproto" / file).write_text("BASE = 9\n")
        digest_with_imports.cache_clear()
        assert (digest_with_imports(kernel, project) != before) == counts
