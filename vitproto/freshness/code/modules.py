"""Modules of a project: their files, and what each defines and imports."""

import os
from functools import cache
from pathlib import Path

from vitproto.freshness.code.definitions import Module, Statement, read_module
from vitproto.freshness.code.imports import Import


class Modules:
    """The project's own modules by name, read when first asked for."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self._top = _top_modules(project)
        self._files: dict[str, Path] = {}
        self._modules: dict[str, Module | None] = {}

    def get(self, name: str) -> Module | None:
        """The module of that name, or None if it is not one of this project."""
        if name.partition(".")[0] not in self._top:
            return None
        if name not in self._modules:
            file = _find(name, self.project)
            self._modules[name] = None
            if file is not None:
                is_package = file.name == "__init__.py"
                package = name if is_package else name.rpartition(".")[0]
                where = place_of_file(file, self.project)
                # A folder without __init__.py may be a package.
                source = file.read_bytes() if file.is_file() else b""
                self._files[name] = file
                self._modules[name] = read_module(source, where, package, self._top)
        return self._modules[name]

    def known(self, name: str) -> Module:
        """A module that is certainly one of this project."""
        module = self.get(name)
        assert module is not None, name
        return module

    def within(self, name: str) -> list[str]:
        """The modules directly inside a package; none for a plain module."""
        file = self._files[name]
        if file.name != "__init__.py":
            return []
        return sorted(
            beside.stem
            for beside in file.parent.iterdir()
            if (beside.suffix == ".py" and beside != file) or beside.is_dir()
            if self.get(f"{name}.{beside.stem}") is not None
        )

    def run_by(self, import_: Import) -> list[str]:
        """The project's modules that an import statement runs, packages first."""
        packages = import_.runs.split(".")
        if self.get(packages[0]) is None:
            return []
        names = [".".join(packages[:n]) for n in range(1, len(packages) + 1)]
        if any(self.get(name) is None for name in names):
            raise ValueError(
                f"{import_.runs} is imported, but does not exist in {self.project}"
            )
        inner = f"{import_.module}.{import_.attribute}"
        if import_.attribute and self.get(inner) is not None:
            names.append(inner)
        return names

    def place(self, name: str, statement: Statement | None = None) -> str:
        """The key of a module, or of a statement in it, in the list of reached code."""
        file = place_of_file(self._files[name], self.project)
        return f"{file}: {', '.join(statement.names)}" if statement else file


def place_of_file(file: Path, project: Path) -> str:
    """The path of a file below the project's folder, with forward slashes."""
    return file.relative_to(project).as_posix()


@cache
def _top_modules(project: Path) -> frozenset[str]:
    """Names of the stages, and of the packages and modules beside them."""
    # A folder without __init__.py may be a package.
    levels = (project, project / "scripts")
    within = [file for level in levels for file in level.glob("*/*.py")]
    within += [file.parent for level in levels for file in level.glob("*/*/*.py")]
    files = [file for level in levels for file in level.glob("*.py")]
    return frozenset(file.parent.name for file in within) | {f.stem for f in files}


def _find(name: str, project: Path) -> Path | None:
    """The file of a module in the project or beside its stages."""
    for folder in (project / "scripts", project):
        path = os.path.join(folder, *name.split("."))
        for file in (os.path.join(path, "__init__.py"), f"{path}.py"):
            if os.path.isfile(file):
                return Path(file)
    for folder in (project / "scripts", project):
        path = folder.joinpath(*name.split("."))
        if path.is_dir() and any(path.rglob("*.py")):
            return path / "__init__.py"
    return None
