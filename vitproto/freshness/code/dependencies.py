"""Dependencies of code besides code: data files beside it, and installed packages."""

import importlib.metadata
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

NOT_NUMERICAL = {"beartype", "jaxtyping", "tqdm", "tyro"}
"""Packages for command lines, progress bars and checks, which change no result."""


def data_files(project: Path) -> dict[str, list[Path]]:
    """All files in the folders of code that are not Python, by file name.

    Args:
        project: the folder that holds `scripts/` and the package.
    """
    by_name: dict[str, list[Path]] = {}
    folders = [file.parent for file in project.glob("*/__init__.py")]
    for folder in sorted({*folders, project / "scripts"}):
        for file in sorted(folder.rglob("*")):
            is_cached = "__pycache__" in file.parts
            if not is_cached and file.suffix != ".py" and file.is_file():
                by_name.setdefault(file.name, []).append(file)
    return by_name


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package, without the standard library.

    The local part (`+cpu`) is left out: it differs between builds for CPU and GPU.
    """
    return {
        package: ", ".join(
            sorted({_version(name) for name in _distributions().get(package, ())})
        )
        for package in {*packages} - sys.stdlib_module_names - NOT_NUMERICAL
    }


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution).partition("+")[0]
