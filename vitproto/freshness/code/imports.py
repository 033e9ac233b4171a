"""The names that a module imports and defines, and what they are in full."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LOGGER = "logging.Logger"
"""What the names of loggers mean in full."""


class Import(NamedTuple):
    """One name that an import statement binds."""

    name: str
    """The name in the importing module; `*` for all names."""
    module: str
    """The module from which it comes, or which it is."""
    attribute: str
    """The name in that module; empty if the module itself is bound."""
    runs: str
    """The module that the statement runs, after the packages that contain it."""

    @property
    def path(self) -> list[str]:
        """The path of the name inside `module`."""
        return [self.attribute] if self.attribute else []


@dataclass(frozen=True)
class Context:
    """The meaning of the names of a module."""

    package: str
    """The package to which its relative imports are relative."""
    project: frozenset[str]
    """The top-level modules and packages of the project."""
    imported: Mapping[str, Sequence[Import]]
    """The imports that bind a name."""
    ours: frozenset[str]
    """The names that its statements define."""
    loggers: frozenset[str]
    """The names in `ours` that are loggers."""
    plain_errors: frozenset[str]
    """The names in `ours` that are errors which hold only a text."""
    has_walrus: bool
    """Whether an expression in it may bind a name."""

    def full_names(self, callee: ast.AST) -> set[str]:
        """Full names that `np.sqrt` may have: `numpy.sqrt`; none for the module's own
        names."""
        first, *rest = (dotted(callee) or "").split(".")
        if first in self.loggers:
            return {".".join([LOGGER, *rest])}
        sources = self.imported.get(first) or self.imported.get("*")
        if first in self.ours or not first:
            return set()
        return {
            ".".join([import_.module, *import_.path, *rest])
            for import_ in sources or [Import(first, first, "", "")]
        }


def imports_of(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[Import]:
    """The names that an import statement binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            # `import a.b` names `a`, `import a.b as c` names `a.b`.
            module = alias.name if alias.asname else alias.name.split(".")[0]
            yield Import(alias.asname or module, module, "", alias.name)
        return
    module = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        module = ".".join([*above, module]).strip(".")
    for alias in node.names:
        attribute = "" if alias.name == "*" else alias.name
        yield Import(alias.asname or alias.name, module, attribute, module)


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` if a node is a dotted name, else None."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(attributes)])
