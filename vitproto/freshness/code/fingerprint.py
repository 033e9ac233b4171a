"""Which code can change what a stage writes?"""

import hashlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from vitproto.core.project import PROJECT
from vitproto.freshness.code.code_graph import Code, Node, digest_of_code
from vitproto.freshness.code.definitions import Module, Statement, read_module
from vitproto.freshness.code.statement_text import Import, ModuleName, Reference

NOT_NUMERICAL = {"beartype", "jaxtyping", "tqdm", "tyro"}
"""Packages that shape command lines, progress bars and checks, but no result."""

# What reaches code without naming it: in the module that uses it, or anywhere.
_ANYTHING_HERE = {"eval", "exec", "globals", "locals"}
_ANYTHING_HERE_WITHOUT_ARGUMENTS = {"dir", "vars"}
_ANYTHING = {"__import__", "importlib", "pkgutil", "runpy"}
_ANYTHING_BEHIND = {"__globals__", "__subclasses__", "f_globals"}
# What seems to, and does not: it gives text, data, or nothing.
_ONLY_NAMES_OF_MODULES = r"\bin sys\.modules(?![.\[])|\bdel sys\.modules\["
_NO_CODE = ("importlib.metadata", "importlib.resources")
_IMPORT_BY_TEXT = {"__import__", "importlib.import_module"}

# Stages ask for their own fingerprint: the function of this name in the module of this
# name. The code for that has no place in it: it could change nothing else.
_OURSELVES = "fingerprint"


class _Target(NamedTuple):
    """What a name leads to."""

    module: str
    """One of ours; empty for what is not."""
    name: str
    """In that module; empty where it leads to the module itself."""
    rest: str
    """What follows: `.size`. The full name of what is not ours."""
    is_kept: bool = False
    """Was it taken out of its module, so that it stays when the module's changes?"""


def fingerprint(stage: str, project: Path = PROJECT) -> str:
    """A digest of all code that the stage `scripts/{stage}.py` can reach.

    Notes of origin hold it: a change makes the stage's results stale, and what is made
    of them.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        Sixteen hexadecimal digits; the same wherever the project lies.
    """
    return digest_of_code(reached(stage, project))


def reached(stage: str, project: Path = PROJECT) -> dict[str, str]:
    """What decides what the stage `scripts/{stage}.py` writes?

    Starts with what runs when the stage does, and follows names: through imports,
    decorators, defaults, annotations and base classes. A class counts as a whole. Of
    a module that is imported, statements that do more than define names always count.
    Where names do not tell what is reached (a module is passed around, `globals()`,
    `import *`), the whole module counts.

    A definition counts by what it says and by the definitions to which its names
    lead, not by where these lie or how they are imported: what moves stays the same.

    Comments, docstrings and formatting do not count, nor does what is said to people:
    the texts of errors and warnings, what is logged or printed. So no code may depend
    on the words of our own errors. What messages call counts, but for those of errors
    that are raised, where nothing goes on.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        A digest of each definition (`vitproto/core/files.py: whole_file`), of what a
        module does beside defining names, and in which order
        (`vitproto/core/files.py`), and of each data file that lies beside a module that
        names it, each with the keys of those to which its names lead; the version of
        each package of others (`numpy`). `digest_of_code` and `changes_of_code` compare
        them.
    """
    search = _Search(project)
    search.run_stage(stage)
    return Code(search.nodes(), _versions(search.outside)).to_dict()


class _Search:
    """What has been reached so far, and where to look next."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.outside: set[str] = set()  # packages that are not ours
        self._ours = _top_modules(project)
        self._files: dict[str, Path] = {}  # by module, like the next two
        self._modules: dict[str, Module | None] = {}
        self._reached: dict[str, set[Statement]] = {}
        self._waiting: list[tuple[str, Statement]] = []
        self._imported: set[str] = set()
        self._whole: set[str] = set()
        self._stage = ""
        self._targets: dict[tuple[str, ...], tuple[_Target, ...]] = {}
        self._under_way: set[tuple[str, ...]] = set()
        self._is_circle = False
        self._rebound: set[tuple[str, str]] = set()  # names that functions give anew
        # For each statement: where each of its names leads, which data files it names,
        # and the modules that it reaches as a whole without naming them.
        self._leads: dict[Statement, dict[Reference, tuple[_Target, ...]]] = {}
        self._data: dict[Statement, list[Path]] = {}
        self._behind: dict[Statement, list[tuple[str, str]]] = {}

    def run_stage(self, stage: str) -> None:
        """Find all that `scripts/{stage}.py` can reach."""
        if self._module(stage) is None:
            raise ValueError(f"there is no stage {stage!r} in {self.project}/scripts")
        self._stage = stage
        self._run(stage)
        while self._waiting:
            self._search(*self._waiting.pop())

    def nodes(self) -> dict[str, Node]:
        """Each definition, module and data file that was reached, by its place."""
        nodes = {
            _place(file, self.project): Node(_digest(file.read_bytes()))
            for files in self._data.values()
            for file in files
        }
        orders = {name: self._order(name) for name in {*self._reached, *self._whole}}
        doing = {name for name in orders if orders[name] or name in self._whole}
        for name, order in orders.items():
            for place, statements in self._definitions(name).items():
                content = _Content()
                for statement in statements:
                    self._say(statement, content, doing)
                nodes[place] = content.node()
            if name in doing:
                content = _Content()
                content.parts.append("the stage" if name == self._stage else "")
                for statement in order:
                    if statement.names:
                        content.link(self._place_of(name, statement))
                    else:
                        self._say(statement, content, doing)
                if name in self._whole:
                    self._list_names(name, content)
                nodes[self._place_of(name)] = content.node()
        return nodes

    def _module(self, name: str) -> Module | None:
        """The module of that name, if it is one of this project."""
        if name.partition(".")[0] not in self._ours:
            return None
        if name not in self._modules:
            file = _find(name, self.project)
            self._modules[name] = None
            if file is not None:
                is_package = file.name == "__init__.py"
                package = name if is_package else name.rpartition(".")[0]
                place = _place(file, self.project)
                # A folder may be a package without that file.
                source = file.read_bytes() if file.is_file() else b""
                self._files[name] = file
                self._modules[name] = read_module(source, place, package, self._ours)
        return self._modules[name]

    def _run(self, name: str) -> None:
        """Follow what happens when a module is imported."""
        module = self._module(name)
        if module is None or _is_ourselves(name) or name in self._imported:
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
        for name in self._run_by(found):
            self._run(name)
        if found.name == "*":
            self._follow(found.module)

    def _run_by(self, found: Import) -> list[str]:
        """The modules of ours that an import statement runs."""
        packages = found.runs.split(".")
        if self._module(packages[0]) is None:
            return []
        names = [".".join(packages[:n]) for n in range(1, len(packages) + 1)]
        if any(self._module(name) is None for name in names):
            raise ValueError(
                f"{found.runs} is imported, but is nowhere in {self.project}"
            )
        within = f"{found.module}.{found.attribute}"
        if found.attribute and self._module(within) is not None:
            names.append(within)
        return names

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
            self._follow(found.module, *found.path)
        for within in self._modules_within(name):
            self._reach_all(f"{name}.{within}")

    def _modules_within(self, name: str) -> list[str]:
        """The modules of a package."""
        file = self._files[name]
        if file.name != "__init__.py":
            return []
        return sorted(
            beside.stem
            for beside in file.parent.iterdir()
            if (beside.suffix == ".py" and beside != file) or beside.is_dir()
            if self._module(f"{name}.{beside.stem}") is not None
        )

    def _search(self, name: str, statement: Statement) -> None:
        """Follow all that a statement mentions."""
        module = self._module(name)
        assert module is not None
        text = statement.text
        if not _ANYTHING_BEHIND.isdisjoint(text.attributes):
            self._reach_everything(statement)
        leads = self._leads[statement] = {}
        for lead in text.leads:
            if isinstance(lead, Import):
                self._import(lead)
                self._leave(lead.runs)
            elif isinstance(lead, Reference):
                leads[lead] = self._targets_of(lead, name, module)
                self._follow_name(lead, leads[lead], name, statement)
                first = lead.name.partition(".")[0]
                is_known = first in module.defined or first in module.imported
                if lead.is_global and not is_known:
                    self._look_behind(lead.name, lead.argument, name, statement)
        self._find_data(statement)

    def _targets_of(
        self, lead: Reference, name: str, module: Module
    ) -> tuple[_Target, ...]:
        """What a name in a module leads to; nothing if it is built in."""
        first, *rest = lead.name.split(".")
        sources = [*lead.imports]
        targets: list[_Target] = []
        if lead.is_global:
            sources += module.imported.get(first, ())
            if first in module.defined:
                targets.append(_Target(name, first, _dotted(rest)))
            elif not sources:
                for found in module.imported.get("*", ()):
                    targets += self._leads_to(found.module, first, *rest)
        for found in sources:
            targets += self._through(found, rest)
        return tuple(dict.fromkeys(targets))

    def _leads_to(self, name: str, *path: str) -> tuple[_Target, ...]:
        """What `path` in the module `name` leads to."""
        key = (name, *path)
        if key in self._targets:
            return self._targets[key]
        if key in self._under_way:
            self._is_circle = True
            return ()
        self._under_way.add(key)
        targets = tuple(dict.fromkeys(self._find_targets(name, path)))
        self._under_way.remove(key)
        # Within a circle, only the first that was asked for knows all.
        self._is_circle &= bool(self._under_way)
        if not self._is_circle:
            self._targets[key] = targets
        return targets

    def _find_targets(self, name: str, path: Sequence[str]) -> Iterator[_Target]:
        module = self._module(name)
        if module is None:
            yield _Target("", "", _dotted([name, *path])[1:])
        elif _is_ourselves(name) and path == ("fingerprint",):
            yield _Target("", "fingerprint", "")
        elif not path:
            yield _Target(name, "", "")
        else:
            first, *rest = path
            within = f"{name}.{first}"
            if first in module.defined:
                yield _Target(name, first, _dotted(rest))
            for found in module.imported.get(first, ()):
                yield from self._through(found, rest)
            if self._module(within) is not None:
                yield from self._leads_to(within, *rest)
            elif first not in module.defined and first not in module.imported:
                yield _Target(name, "", _dotted(path))

    def _through(self, found: Import, rest: Sequence[str]) -> Iterator[_Target]:
        """What the name that an import gives leads to, with attributes."""
        within = f"{found.module}.{found.attribute}"
        is_kept = bool(found.attribute) and self._module(within) is None
        for target in self._leads_to(found.module, *found.path, *rest):
            yield target._replace(is_kept=is_kept or target.is_kept)

    def _follow_name(
        self,
        lead: Reference,
        targets: Sequence[_Target],
        name: str,
        statement: Statement,
    ) -> None:
        for target in targets:
            self._reach_target(target)
            if target.module and lead.rebinds:
                self._rebound.add((target.module, target.name))
            if not target.module and not target.name:
                self._look_behind(target.rest, lead.argument, name, statement)

    def _follow(self, name: str, *path: str) -> None:
        """Reach what stands at `path` in the module `name`."""
        for target in self._leads_to(name, *path):
            self._reach_target(target)

    def _reach_target(self, target: _Target) -> None:
        module = self._module(target.module)
        if module is None:
            if not target.name:
                self._leave(target.rest)
        elif target.name:
            for definition in module.defined[target.name]:
                self._reach(target.module, definition)
        else:
            self._reach_all(target.module)

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
        is_here = used in _ANYTHING_HERE or (
            used in _ANYTHING_HERE_WITHOUT_ARGUMENTS and argument == ""
        )
        behind = self._behind.setdefault(statement, [])
        if is_here or (
            f"{used}.".startswith("sys.modules.") and not _only_names_modules(statement)
        ):
            self._reach_all(user)
            behind.append(("", user))
        elif used in _IMPORT_BY_TEXT and argument and not argument.startswith("."):
            self._import(Import("*", argument, "", argument))
            if self._module(argument) is not None:
                behind.append(("", argument))
        elif used.split(".")[0] in _ANYTHING and not used.startswith(_NO_CODE):
            self._reach_everything(statement)

    def _reach_everything(self, statement: Statement) -> None:
        behind = self._behind.setdefault(statement, [])
        packages = [file.parent for file in self.project.glob("*/__init__.py")]
        alone = [*self.project.glob("*.py"), *self.project.glob("scripts/*.py")]
        for name in sorted({path.stem for path in (*packages, *alone)}):
            self._reach_all(name)
            behind.append((name, name))

    def _find_data(self, statement: Statement) -> None:
        """Note the files that a statement may read: those of a name that it says."""
        said = {text.rpartition("/")[2] for text in statement.text.texts}
        found = [file for text in said for file in self._data_files.get(text, ())]
        self._data.setdefault(statement, []).extend(found)

    @cached_property
    def _data_files(self) -> dict[str, list[Path]]:
        """All files beside the code that are no code, by name."""
        found: dict[str, list[Path]] = {}
        folders = [file.parent for file in self.project.glob("*/__init__.py")]
        for folder in sorted({*folders, self.project / "scripts"}):
            for file in sorted(folder.rglob("*")):
                is_kept = "__pycache__" in file.parts
                if not is_kept and file.suffix != ".py" and file.is_file():
                    found.setdefault(file.name, []).append(file)
        return found

    # What was reached, in writing.

    def _place_of(self, name: str, statement: Statement | None = None) -> str:
        place = _place(self._files[name], self.project)
        return f"{place}: {', '.join(statement.names)}" if statement else place

    def _definitions(self, name: str) -> dict[str, list[Statement]]:
        """The reached statements of a module that define names, by these."""
        module = self._module(name)
        assert module is not None
        found: dict[str, list[Statement]] = {}
        for statement in module.statements:
            if statement in self._reached.get(name, ()) and statement.names:
                place = self._place_of(name, statement)
                found.setdefault(place, []).append(statement)
        return found

    def _order(self, name: str) -> list[Statement]:
        """What runs when a module is imported, and between which definitions.

        It may find a name defined or not, or defined otherwise. Not in it is what
        stands before all else, or alone.
        """
        module = self._module(name)
        assert module is not None
        again = {name for name, found in module.defined.items() if len(found) > 1}
        order: list[Statement] = []
        for statement in module.statements:
            if statement not in self._reached.get(name, ()):
                continue
            is_again = not again.isdisjoint(statement.names)
            # A default value, or the body of a class.
            sees = statement.is_definition and again & statement.text.mentioned
            comes_after = order and not statement.is_definition
            if statement.has_effects or is_again or sees or comes_after:
                order.append(statement)
        names = {statement.names for statement in order}
        return [] if len(names) == 1 and names != {()} else order

    def _say(
        self, statement: Statement, content: "_Content", doing: Container[str]
    ) -> None:
        """Write down a statement, with links for the names that lead to code of ours.

        Args:
            doing: the modules that do something when they are imported.
        """
        content.parts.append(statement.text.digest)
        for lead in statement.text.leads:
            if isinstance(lead, Reference):
                self._say_targets(
                    self._leads[statement][lead] or [_Target("", "", lead.name)],
                    content,
                )
            elif isinstance(lead, ModuleName):
                is_ours = self._module(lead.name) is not None
                content.parts.append("" if is_ours else lead.name)
            elif self._module(lead.runs.split(".")[0]) is None:
                content.parts.append(f"import {lead.runs} {lead.attribute}")
            else:
                for name in self._run_by(lead):
                    if name in doing:
                        content.link(self._place_of(name))
        for path in self._data.get(statement, ()):
            content.link(_place(path, self.project))
        for label, name in self._behind.get(statement, ()):
            content.parts.append(label)
            content.link(self._place_of(name))

    def _say_targets(self, targets: Iterable[_Target], content: "_Content") -> None:
        content.parts.append("to")
        for target in targets:
            module = self._module(target.module)
            if module is None:
                content.parts.append(f"{target.name}{target.rest}")
                continue
            places = dict.fromkeys(
                self._place_of(target.module, statement)
                for statement in module.defined.get(target.name, (None,))
            )
            for place in places:
                content.link(place)
            is_rebound = (target.module, target.name) in self._rebound
            kept = "kept" if target.is_kept and is_rebound else ""
            content.parts.append(f"{target.rest} {kept}")

    def _list_names(self, name: str, content: "_Content") -> None:
        """Write down what each name of a module leads to."""
        module = self._module(name)
        assert module is not None
        within = self._modules_within(name)
        for known in sorted({*module.defined, *module.imported, *within} - {"*"}):
            content.parts.append(known)
            self._say_targets(self._leads_to(name, known), content)
        for found in module.imported.get("*", ()):
            self._say_targets(self._leads_to(found.module), content)


class _Content:
    """What is written down of a definition or module."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._links: dict[str, int] = {}

    def link(self, place: str) -> None:
        """Write that something of ours is meant, but not where it lies."""
        self.parts.append(f"#{self._links.setdefault(place, len(self._links))}")

    def node(self) -> Node:
        return Node(_digest(json.dumps(self.parts).encode()), tuple(self._links))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _dotted(path: Iterable[str]) -> str:
    return "".join(f".{name}" for name in path)


def _is_ourselves(name: str) -> bool:
    """Is this the module's name, wherever it lies?"""
    return name.rpartition(".")[2] == _OURSELVES


@cache
def _top_modules(project: Path) -> frozenset[str]:
    """The names of the stages, and of the packages and modules beside them."""
    # A folder may be a package without a file that says so.
    levels = (project, project / "scripts")
    within = [file for level in levels for file in level.glob("*/*.py")]
    within += [file.parent for level in levels for file in level.glob("*/*/*.py")]
    files = [file for level in levels for file in level.glob("*.py")]
    return frozenset(file.parent.name for file in within) | {f.stem for f in files}


def _find(name: str, project: Path) -> Path | None:
    """The file of a module: of the project, or beside its stages."""
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


def _only_names_modules(statement: Statement) -> bool:
    """Does it use `sys.modules` only to see or forget which modules were imported?"""
    n_uses = len(re.findall(r"\bsys\.modules\b", statement.code))
    return 0 < n_uses == len(re.findall(_ONLY_NAMES_OF_MODULES, statement.code))


def _place(file: Path, project: Path) -> str:
    return file.relative_to(project).as_posix()


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
