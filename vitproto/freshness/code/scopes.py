"""What a name means where it is used in a statement: something local, or not."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from vitproto.freshness.code.imports import Context, Import, dotted, imports_of

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

# Fields of syntax nodes that can bind names, unless `:=` is used.
_BINDING_FIELDS = {
    *("body", "orelse", "finalbody", "handlers", "items", "cases"),
    *("target", "targets", "optional_vars"),
    *("elts", "value", "pattern", "patterns", "kwd_patterns"),
}


@dataclass(frozen=True)
class Scope:
    """The names that are local to a function, class or comprehension."""

    is_class: bool = False
    names: set[str] = field(default_factory=set)
    """The names that are not bound by imports alone."""
    imports: dict[str, list[Import]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)


class Meaning(NamedTuple):
    """The meaning of a name where it is used."""

    is_local: bool
    is_global: bool
    imports: tuple[Import, ...] = ()
    is_unsure: bool = False
    """Whether it may be something local as well."""


class Scopes:
    """The functions, classes and comprehensions around a place in a statement.

    Attributes:
        context: the meaning of the module's names.
        inner: the innermost scope; None at the top of the module.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._scopes: list[Scope] = []

    @property
    def inner(self) -> Scope | None:
        return self._scopes[-1] if self._scopes else None

    @contextmanager
    def within(self, scope: Scope) -> Iterator[None]:
        """Enter a scope for the block."""
        self._scopes.append(scope)
        yield
        self._scopes.pop()

    def meaning(self, name: str) -> Meaning:
        """The meaning of a name here."""
        imports: tuple[Import, ...] = ()
        is_unsure = False
        for depth, scope in enumerate(reversed(self._scopes)):
            if name in scope.globals:
                break
            is_known = name in scope.names or name in scope.imports
            if not is_known or name in scope.nonlocals:
                continue
            if scope.is_class and depth > 0:  # not visible in its methods
                continue
            imports = (*imports, *scope.imports.get(name, ()))
            if not scope.is_class:
                is_unsure |= bool(imports) and name in scope.names
                return Meaning(not imports, False, imports, is_unsure)
            # Until the class binds it, it has its meaning outside.
            is_unsure = True
        return Meaning(False, True, imports, is_unsure)

    def full_names(self, callee: ast.AST) -> set[str]:
        """As `Context.full_names`, with the imports in functions around."""
        name = dotted(callee)
        if name is None:
            return set()
        first, *rest = name.split(".")
        meaning = self.meaning(first)
        if meaning.is_local or meaning.is_unsure:
            return set()
        if meaning.imports:
            return {".".join([i.module, *i.path, *rest]) for i in meaning.imports}
        return self.context.full_names(callee)


def scope_of_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, context: Context
) -> Scope:
    """The names that are local to a function."""
    scope = Scope(names={*_arguments(node.args)})
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    _bind(body, scope, context)
    return scope


def scope_of_class(node: ast.ClassDef, context: Context) -> Scope:
    """The names that the body of a class binds."""
    scope = Scope(is_class=True)
    _bind(node.body, scope, context)
    return scope


def scope_of_comprehension(generators: Iterable[ast.comprehension]) -> Scope:
    """The targets of a comprehension."""
    targets = [part.target for part in generators]
    nodes = [node for target in targets for node in ast.walk(target)]
    return Scope(names={node.id for node in nodes if isinstance(node, ast.Name)})


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    several = [arguments.vararg, arguments.kwarg]
    positional = [*arguments.posonlyargs, *arguments.args]
    for argument in (*positional, *arguments.kwonlyargs, *several):
        if argument is not None:
            yield argument.arg


def _bind(nodes: Iterable[ast.AST], scope: Scope, context: Context) -> None:
    """Note the names that the body of a function or class binds."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                scope.names.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            scope.names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for import_ in imports_of(node, context.package):
                scope.imports.setdefault(import_.name, []).append(import_)
        elif isinstance(node, ast.Global):
            scope.globals.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            scope.nonlocals.update(node.names)
        elif isinstance(node, COMPREHENSIONS):
            # Its targets are local to it.
            scope.names.update(
                part.target.id
                for part in ast.walk(node)
                if isinstance(part, ast.NamedExpr) and context.has_walrus
            )
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
                scope.names.update({node.name} - {None})
            elif isinstance(node, ast.MatchMapping):
                scope.names.update({node.rest} - {None})
            for name in node._fields:
                if context.has_walrus or name in _BINDING_FIELDS:
                    value = getattr(node, name, None)
                    parts = value if isinstance(value, list) else [value]
                    waiting += [part for part in parts if isinstance(part, ast.AST)]
