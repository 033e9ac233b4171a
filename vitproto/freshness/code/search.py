"""Find all code that a stage can reach by following names from the stage's file."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from vitproto.freshness.code import dependencies
from vitproto.freshness.code.definitions import Module, Statement
from vitproto.freshness.code.imports import Import
from vitproto.freshness.code.modules import Modules
from vitproto.freshness.code.statement_text import Reference
from vitproto.freshness.code.targets import Target, Targets, is_fingerprint_module

# These reach code without naming it: in the module that uses them, or anywhere.
_ANYTHING_HERE = {"eval", "exec", "globals", "locals"}
_ANYTHING_HERE_WITHOUT_ARGUMENTS = {"dir", "vars"}
_ANYTHING = {"__import__", "importlib", "pkgutil", "runpy"}
_ANYTHING_BEHIND = {"__globals__", "__subclasses__", "f_globals"}
# These look similar, but yield only text or data, or nothing.
_ONLY_NAMES_OF_MODULES = r"\bin sys\.modules(?![.\[])|\bdel sys\.modules\["
_NO_CODE = ("importlib.metadata", "importlib.resources")
_IMPORT_BY_TEXT = {"__import__", "importlib.import_module"}


class Search:
    """A search through a project, and what it has reached.

    Attributes:
        stage: the stage where the search began.
        modules: the modules of the project.
        targets: resolves names.
        outside: packages that are not the project's.
        reached: the statements reached, by module.
        whole: modules that count as a whole.
        rebound: names that functions bind to something else, each with its module.
        leads: for each statement, where each of its names leads.
        data: for each statement, the data files that it names.
        behind: for each statement, the modules that it reaches as a whole without
            naming them, each with a label.
    """

    def __init__(self, project: Path) -> None:
        self.stage = ""
        self.modules = Modules(project)
        self.targets = Targets(self.modules)
        self.outside: set[str] = set()
        self.reached: dict[str, set[Statement]] = {}
        self.whole: set[str] = set()
        self.rebound: set[tuple[str, str]] = set()
        self.leads: dict[Statement, dict[Reference, tuple[Target, ...]]] = {}
        self.data: dict[Statement, list[Path]] = {}
        self.behind: dict[Statement, list[tuple[str, str]]] = {}
        self._project = project
        self._waiting: list[tuple[str, Statement]] = []
        self._imported: set[str] = set()

    def run_stage(self, stage: str) -> None:
        """Find all that `scripts/{stage}.py` can reach."""
        if self.modules.get(stage) is None:
            raise ValueError(f"there is no stage {stage!r} in {self._project}/scripts")
        self.stage = stage
        self._run(stage)
        while self._waiting:
            self._search(*self._waiting.pop())

    def _run(self, name: str) -> None:
        """Follow what happens when a module is imported."""
        module = self.modules.get(name)
        if module is None or is_fingerprint_module(name) or name in self._imported:
            return
        self._imported.add(name)
        for statement in module.statements:
            if statement.has_effects:
                self._reach(name, statement)
        for import_ in module.imports:
            self._import(import_)
        for import_ in module.unused:  # imported for its side effects
            self._note_package(import_.runs)
        if "__getattr__" in module.defined:
            self._reach_all(name)

    def _import(self, import_: Import) -> None:
        """Follow an import statement, but not the name that it binds."""
        for name in self.modules.run_by(import_):
            self._run(name)
        if import_.name == "*":
            self._follow(import_.module)

    def _reach(self, name: str, statement: Statement) -> None:
        statements = self.reached.setdefault(name, set())
        if statement not in statements:
            statements.add(statement)
            self._waiting.append((name, statement))

    def _reach_all(self, name: str) -> None:
        """Count a module as a whole; a package with its modules."""
        module = self.modules.get(name)
        if module is None or name in self.whole:
            return
        self.whole.add(name)
        self._run(name)
        for statement in module.statements:
            self._reach(name, statement)
        for import_ in module.imports:
            self._follow(import_.module, *import_.path)
        for within in self.modules.within(name):
            self._reach_all(f"{name}.{within}")

    def _search(self, name: str, statement: Statement) -> None:
        """Follow all that a statement mentions."""
        module = self.modules.known(name)
        text = statement.text
        if not _ANYTHING_BEHIND.isdisjoint(text.attributes):
            self._reach_everything(statement)
        leads = self.leads[statement] = {}
        for lead in text.leads:
            if isinstance(lead, Import):
                self._import(lead)
                self._note_package(lead.runs)
            elif isinstance(lead, Reference):
                leads[lead] = self.targets.of_reference(lead, name, module)
                self._follow_name(lead, leads[lead], name, statement)
                if lead.is_global and not _is_known(lead, module):
                    self._look_behind(lead.name, lead.argument, name, statement)
        self._find_data(statement)

    def _follow_name(
        self,
        lead: Reference,
        targets: Sequence[Target],
        name: str,
        statement: Statement,
    ) -> None:
        for target in targets:
            self._reach_target(target)
            if target.module and lead.rebinds:
                self.rebound.add((target.module, target.name))
            if not target.module and not target.name:
                self._look_behind(target.rest, lead.argument, name, statement)

    def _follow(self, name: str, *path: str) -> None:
        """Reach what `path` in the module `name` leads to."""
        for target in self.targets.at(name, *path):
            self._reach_target(target)

    def _reach_target(self, target: Target) -> None:
        module = self.modules.get(target.module)
        if module is None:
            if not target.name:
                self._note_package(target.rest)
        elif target.name:
            for definition in module.defined[target.name]:
                self._reach(target.module, definition)
        else:
            self._reach_all(target.module)

    def _note_package(self, name: str) -> None:
        """Note the package of a dotted name, unless it is the project's."""
        package = name.split(".")[0]
        if self.modules.get(package) is None:
            self.outside.add(package)

    def _look_behind(
        self, used: str, argument: str | None, user: str, statement: Statement
    ) -> None:
        """Follow calls that reach code without naming it, such as `globals()`."""
        used = used.removeprefix("builtins.")
        is_here = used in _ANYTHING_HERE or (
            used in _ANYTHING_HERE_WITHOUT_ARGUMENTS and argument == ""
        )
        behind = self.behind.setdefault(statement, [])
        if is_here or (
            f"{used}.".startswith("sys.modules.") and not _only_names_modules(statement)
        ):
            self._reach_all(user)
            behind.append(("", user))
        elif used in _IMPORT_BY_TEXT and argument and not argument.startswith("."):
            self._import(Import("*", argument, "", argument))
            if self.modules.get(argument) is not None:
                behind.append(("", argument))
        elif used.split(".")[0] in _ANYTHING and not used.startswith(_NO_CODE):
            self._reach_everything(statement)

    def _reach_everything(self, statement: Statement) -> None:
        behind = self.behind.setdefault(statement, [])
        packages = [file.parent for file in self._project.glob("*/__init__.py")]
        alone = [*self._project.glob("*.py"), *self._project.glob("scripts/*.py")]
        for name in sorted({path.stem for path in (*packages, *alone)}):
            self._reach_all(name)
            behind.append((name, name))

    def _find_data(self, statement: Statement) -> None:
        """Note the data files whose names occur in a statement."""
        # In the order of the text: the order of a set changes from run to run.
        names = dict.fromkeys(text.rpartition("/")[2] for text in statement.text.texts)
        files = [file for name in names for file in self._data_files.get(name, ())]
        self.data.setdefault(statement, []).extend(files)

    @cached_property
    def _data_files(self) -> dict[str, list[Path]]:
        return dependencies.data_files(self._project)


def _is_known(reference: Reference, module: Module) -> bool:
    """Whether a module defines or imports a name."""
    first = reference.name.partition(".")[0]
    return first in module.defined or first in module.imported


def _only_names_modules(statement: Statement) -> bool:
    """Whether `sys.modules` serves only to see or forget which modules are imported."""
    n_uses = len(re.findall(r"\bsys\.modules\b", statement.code))
    return 0 < n_uses == len(re.findall(_ONLY_NAMES_OF_MODULES, statement.code))
