"""Which code can change what a stage writes?"""

import hashlib
import importlib.metadata
import json
import os
import re
import sys
from functools import cache
from pathlib import Path

from vitproto.study.definitions import Import, Module, Statement, read_module

PROJECT = Path(__file__).resolve().parents[2]

NOT_NUMERICAL = {"beartype", "jaxtyping", "tqdm", "tyro"}
"""Packages that shape command lines, progress bars and checks, but no result."""

# What reaches code without naming it: in the module that uses it, or anywhere.
_ANYTHING_HERE = {"eval", "exec", "globals", "locals"}
_ANYTHING_HERE_WITHOUT_ARGUMENTS = r"\b(dir|vars)\(\)"
_ANYTHING = {"__import__", "importlib", "pkgutil", "runpy"}
_ANYTHING_BEHIND = {"__globals__", "__subclasses__", "f_globals"}
# What seems to, and does not: it gives text, data, or nothing.
_ONLY_NAMES_OF_MODULES = r"\bin sys\.modules(?![.\[])|\bdel sys\.modules\["
_NO_CODE = ("importlib.metadata", "importlib.resources")
_IMPORT_BY_TEXT = {"__import__", "importlib.import_module"}

# Stages ask for their own fingerprint. The code for that has no place in it: the
# fingerprint is all that it could change.
_OURSELVES = "vitproto.study.fingerprint"


def fingerprint(stage: str, project: Path = PROJECT) -> str:
    """A digest of all code that the stage `scripts/{stage}.py` can reach.

    Snakemake compares it as a parameter of the stage's rule: a change makes the
    stage's outputs stale, and no others.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        Sixteen hexadecimal digits; the same wherever the project lies.
    """
    content = json.dumps(reached(stage, project), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def reached(stage: str, project: Path = PROJECT) -> dict[str, str]:
    """What decides what the stage `scripts/{stage}.py` writes?

    Starts with what runs when the stage does, and follows names: through imports,
    decorators, defaults, annotations and base classes. A class counts as a whole. Of
    a module that is imported, statements that do more than define names always count.
    Where names do not tell what is reached (a module is passed around, `globals()`,
    `import *`), the whole module counts. A local variable is taken for the definition
    of the same name: too much counts rather than too little.

    Comments, docstrings and formatting do not count.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        A digest of each definition (`vitproto/files.py: whole_file`), of what a module
        does beside defining names, and in which order (`vitproto/files.py`), and of
        each data file that lies beside a module that names it; the version of each
        package of others (`numpy`).
    """
    search = _Search(project)
    search.run_stage(stage)
    return search.digests() | _versions(search.outside)


class _Search:
    """What has been reached so far, and where to look next."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.outside: set[str] = set()  # packages that are not ours
        self.data: set[Path] = set()
        self._files: dict[str, Path] = {}  # by module, like the next two
        self._modules: dict[str, Module | None] = {}
        self._reached: dict[str, set[Statement]] = {}
        self._waiting: list[tuple[str, Statement]] = []
        self._imported: set[str] = set()
        self._whole: set[str] = set()
        self._followed: set[tuple[str, ...]] = set()

    def run_stage(self, stage: str) -> None:
        """Find all that `scripts/{stage}.py` can reach."""
        if self._module(stage) is None:
            raise ValueError(f"there is no stage {stage!r} in {self.project}/scripts")
        self._run(stage)
        while self._waiting:
            self._search(*self._waiting.pop())

    def digests(self) -> dict[str, str]:
        """A digest of each definition, module and data file that was reached."""
        digests = {
            _place(file, self.project): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in self.data
        }
        for name, statements in self._reached.items():
            module = self._module(name)
            assert module is not None
            place = _place(self._files[name], self.project)
            for names, content in _contents(module, statements).items():
                digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
                digests[f"{place}: {names}" if names else place] = digest
        return digests

    def _module(self, name: str) -> Module | None:
        """The module of that name, if it is one of this project."""
        if name not in self._modules:
            file = _find(name, self.project)
            self._modules[name] = None
            if file is not None:
                is_package = file.name == "__init__.py"
                package = name if is_package else name.rpartition(".")[0]
                place = _place(file, self.project)
                self._files[name] = file
                self._modules[name] = read_module(file.read_bytes(), place, package)
        return self._modules[name]

    def _run(self, name: str) -> None:
        """Follow what happens when a module is imported."""
        module = self._module(name)
        if module is None or name == _OURSELVES or name in self._imported:
            return
        self._imported.add(name)
        for statement in module.statements:
            if statement.has_effects:
                self._reach(name, statement)
        for found in module.imports:
            self._import(found)
        for found in module.unused:  # imported for what that does
            self._leave(found.runs)
        if "__getattr__" in module.defined:
            self._reach_all(name)

    def _import(self, found: Import) -> None:
        """Follow an import statement, but not the name that it gives."""
        packages = found.runs.split(".")
        is_ours = self._module(packages[0]) is not None
        for n in range(1, len(packages) + 1) if is_ours else ():
            name = ".".join(packages[:n])
            if self._module(name) is None:
                raise ValueError(
                    f"{found.runs} is imported, but is nowhere in {self.project}"
                )
            self._run(name)
        if is_ours and found.attribute:
            self._run(f"{found.module}.{found.attribute}")
        if found.name == "*":
            self._follow(found.module, [])

    def _reach(self, name: str, statement: Statement) -> None:
        statements = self._reached.setdefault(name, set())
        if statement not in statements:
            statements.add(statement)
            self._waiting.append((name, statement))

    def _reach_all(self, name: str) -> None:
        """Take a module as a whole; a package with its modules."""
        module = self._module(name)
        if module is None or name in self._whole:
            return
        self._whole.add(name)
        self._run(name)
        for statement in module.statements:
            self._reach(name, statement)
        for found in module.imports:
            self._follow(found.module, found.path)
        file = self._files[name]
        if file.name == "__init__.py":
            for beside in file.parent.iterdir():
                is_module = beside.suffix == ".py" and beside != file
                if is_module or beside.is_dir():
                    self._reach_all(f"{name}.{beside.stem}")

    def _reach_everything(self) -> None:
        for package in self.project.glob("*/__init__.py"):
            self._reach_all(package.parent.name)

    def _search(self, name: str, statement: Statement) -> None:
        """Follow all that a statement mentions."""
        module = self._module(name)
        assert module is not None
        for found in statement.imports:
            self._import(found)
            self._leave(found.runs)
        for use in statement.uses:
            first, *rest = use.name.split(".")
            if rest and rest[-1] in _ANYTHING_BEHIND:
                self._reach_everything()
            local = [found for found in statement.imports if found.name == first]
            sources = [*local, *module.imported.get(first, ())]
            for found in sources:
                path = [*found.path, *rest]
                self._follow(found.module, path)
                full_name = ".".join([found.module, *path])
                self._look_behind(full_name, use.argument, name, statement)
            for definition in module.defined.get(first, ()):
                self._reach(name, definition)
            if not sources and first not in module.defined:
                self._look_behind(use.name, use.argument, name, statement)
        if re.search(_ANYTHING_HERE_WITHOUT_ARGUMENTS, statement.code):
            self._reach_all(name)
        self._find_data(name, statement)

    def _follow(self, name: str, path: list[str]) -> None:
        """Reach what stands at `path` in the module `name`."""
        is_fingerprint = name == _OURSELVES and path == ["fingerprint"]
        if is_fingerprint or (name, *path) in self._followed:
            return
        self._followed.add((name, *path))
        module = self._module(name)
        if module is None:
            self._leave(name)
            return
        if not path:
            self._reach_all(name)
            return
        first, *rest = path
        for definition in module.defined.get(first, ()):
            self._reach(name, definition)
        for found in module.imported.get(first, ()):
            self._follow(found.module, [*found.path, *rest])
        if self._module(f"{name}.{first}") is not None:
            self._follow(f"{name}.{first}", rest)
        elif first not in module.defined and first not in module.imported:
            self._reach_all(name)

    def _leave(self, name: str) -> None:
        """Note a package, if it is not ours."""
        package = name.split(".")[0]
        if self._module(package) is None:
            self.outside.add(package)

    def _look_behind(
        self, used: str, argument: str | None, user: str, statement: Statement
    ) -> None:
        """Follow what reaches code without naming it."""
        used = used.removeprefix("builtins.")
        if used in _ANYTHING_HERE:
            self._reach_all(user)
        elif f"{used}.".startswith("sys.modules."):
            if not _only_names_modules(statement):
                self._reach_all(user)
        elif used in _IMPORT_BY_TEXT and argument and not argument.startswith("."):
            self._import(Import("*", argument, "", argument))
        elif used.split(".")[0] in _ANYTHING and not used.startswith(_NO_CODE):
            self._reach_everything()

    def _find_data(self, name: str, statement: Statement) -> None:
        """Note the files that a statement names, beside its module or in a package."""
        files = [
            text
            for text in statement.texts
            if re.fullmatch(r"\w[\w-]*(\.\w+)+", text) and not text.endswith(".py")
        ]
        if files:
            dotted = [text for text in statement.texts if re.fullmatch(r"[\w.]+", text)]
            packages = [text for text in dotted if self._module(text) is not None]
            for module in [name, *packages]:
                paths = [self._files[module].with_name(file) for file in files]
                self.data.update(path for path in paths if path.is_file())


def _find(name: str, project: Path) -> Path | None:
    """The file of a module: of the project, or beside its stages."""
    for folder in (project / "scripts", project):
        path = os.path.join(folder, *name.split("."))
        for file in (os.path.join(path, "__init__.py"), f"{path}.py"):
            if os.path.isfile(file):
                return Path(file)
    return None


def _only_names_modules(statement: Statement) -> bool:
    """Does it use `sys.modules` only to see or forget which modules were imported?"""
    n_uses = len(re.findall(r"\bsys\.modules\b", statement.code))
    return 0 < n_uses == len(re.findall(_ONLY_NAMES_OF_MODULES, statement.code))


def _place(file: Path, project: Path) -> str:
    return file.relative_to(project).as_posix()


def _contents(module: Module, statements: set[Statement]) -> dict[str, list[str]]:
    """What the reached statements of a module say, by the names that they define.

    Under no name stands what runs when the module is imported, and between which
    definitions: it may find a name defined or not, or defined otherwise.
    """
    again = {name for name, found in module.defined.items() if len(found) > 1}
    contents: dict[str, list[str]] = {}
    order: list[str] = []
    order_matters = False
    for statement in module.statements:
        if statement not in statements:
            continue
        used = {use.name.split(".")[0] for use in statement.uses}
        sources = sorted({found for found in module.imports if found.name in used})
        content = [*map(" ".join, sources), statement.code]
        names = ", ".join(statement.names)
        if names:
            contents.setdefault(names, []).extend(content)
        is_again = not again.isdisjoint(statement.names)
        order_matters |= statement.has_effects or is_again
        if statement.has_effects or is_again or not statement.is_definition:
            order += [names] if names else content
    if order_matters:
        contents[""] = order
    return contents


def _versions(packages: set[str]) -> dict[str, str]:
    """The version of each distribution that packages come from.

    Without the local part, which differs between builds for a CPU and for a GPU.
    """
    return {
        package: ", ".join(
            sorted({_version(name) for name in _distributions().get(package, ())})
        )
        for package in packages - sys.stdlib_module_names - NOT_NUMERICAL
    }


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution).partition("+")[0]


def changes_of_code(then, now):
    return [k for k in sorted({*then, *now}) if then.get(k) != now.get(k)]
