"""Resolve names: the definition, module or package to which a name leads."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from vitproto.freshness.code.definitions import Module
from vitproto.freshness.code.imports import Import
from vitproto.freshness.code.modules import Modules
from vitproto.freshness.code.statement_text import Reference

# Stages ask for their own fingerprint: the function of this name in the module of this
# name. Its code is left out of every fingerprint: it cannot change any other result.
_FINGERPRINT = "fingerprint"


class Target(NamedTuple):
    """The definition, module or package to which a name leads."""

    module: str
    """A module of the project; empty for anything else."""
    name: str
    """A name in that module; empty if the module itself is meant."""
    rest: str
    """The attributes that follow: `.size`. Outside the project, the full name."""
    is_kept: bool = False
    """Whether it was imported out of its module (`from m import x`), so that it stays
    when the module's name is bound to something else."""


class Targets:
    """Resolves names of a project, and remembers what it found."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._known: dict[tuple[str, ...], tuple[Target, ...]] = {}
        self._under_way: set[tuple[str, ...]] = set()
        self._is_circle = False

    def of_reference(
        self, reference: Reference, name: str, module: Module
    ) -> tuple[Target, ...]:
        """The targets of a name used in a module; none for a built-in name.

        Args:
            reference: the name and its attributes.
            name: the name of the module that uses it.
            module: that module.
        """
        first, *rest = reference.name.split(".")
        sources = [*reference.imports]
        targets: list[Target] = []
        if reference.is_global:
            sources += module.imported.get(first, ())
            if first in module.defined:
                targets.append(Target(name, first, _dotted(rest)))
            elif not sources:
                for import_ in module.imported.get("*", ()):
                    targets += self.at(import_.module, first, *rest)
        for import_ in sources:
            targets += self._through(import_, rest)
        return tuple(dict.fromkeys(targets))

    def at(self, name: str, *path: str) -> tuple[Target, ...]:
        """The targets of `path` in the module `name`."""
        key = (name, *path)
        if key in self._known:
            return self._known[key]
        if key in self._under_way:
            self._is_circle = True
            return ()
        self._under_way.add(key)
        targets = tuple(dict.fromkeys(self._resolve(name, path)))
        self._under_way.remove(key)
        # In a circle of imports only the outermost result is complete.
        self._is_circle &= bool(self._under_way)
        if not self._is_circle:
            self._known[key] = targets
        return targets

    def _resolve(self, name: str, path: Sequence[str]) -> Iterator[Target]:
        module = self._modules.get(name)
        if module is None:
            yield Target("", "", _dotted([name, *path])[1:])
        elif is_fingerprint_module(name) and path == (_FINGERPRINT,):
            yield Target("", _FINGERPRINT, "")
        elif not path:
            yield Target(name, "", "")
        else:
            first, *rest = path
            within = f"{name}.{first}"
            if first in module.defined:
                yield Target(name, first, _dotted(rest))
            for import_ in module.imported.get(first, ()):
                yield from self._through(import_, rest)
            if self._modules.get(within) is not None:
                yield from self.at(within, *rest)
            elif first not in module.defined and first not in module.imported:
                yield Target(name, "", _dotted(path))

    def _through(self, import_: Import, rest: Sequence[str]) -> Iterator[Target]:
        """The targets of an imported name with attributes."""
        within = f"{import_.module}.{import_.attribute}"
        is_kept = bool(import_.attribute) and self._modules.get(within) is None
        for target in self.at(import_.module, *import_.path, *rest):
            yield target._replace(is_kept=is_kept or target.is_kept)


def is_fingerprint_module(name: str) -> bool:
    """Whether a module is the one with the function `fingerprint`, wherever it lies."""
    return name.rpartition(".")[2] == _FINGERPRINT


def _dotted(path: Iterable[str]) -> str:
    return "".join(f".{name}" for name in path)
