"""What a module defines, statement by statement, and what each statement mentions."""

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

from vitproto.freshness.code.statement_text import (
    ERRORS,
    FUNCTIONS,
    Context,
    Import,
    StatementText,
    doing,
    dotted,
    imports_of,
    is_text,
    is_told,
    read_statement,
)

# Calling these, decorating with them or deriving from them does nothing but make the
# object that gets the name. What is missing here merely counts more often.
_QUIET = {
    *("classmethod", "property", "staticmethod"),
    *("frozenset", "range", "tuple"),
    *("object", "Exception", "RuntimeError", "ValueError"),
    *("abc.ABC", "abc.abstractmethod"),
    "contextlib.contextmanager",
    *("dataclasses.dataclass", "dataclasses.field"),
    *("enum.Enum", "enum.IntEnum", "enum.StrEnum"),
    *("functools.cache", "functools.cached_property"),
    "logging.getLogger",
    "numba.njit",
    *("torch.inference_mode", "torch.no_grad"),
    *("torch.autograd.Function", "torch.nn.Module"),
    *("typing.Generic", "typing.NamedTuple", "typing.Protocol", "typing.TypeVar"),
    *("typing.no_type_check", "typing.runtime_checkable"),
}

T = TypeVar("T")

_DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement at the top of a module.

    Attributes:
        node: the statement.
        names: what it defines.
        context: what its names mean.
        has_effects: running it can do more than to define its names, so that it
            counts wherever its module is imported.
    """

    node: ast.stmt
    names: tuple[str, ...]
    context: Context
    has_effects: bool

    @property
    def is_definition(self) -> bool:
        """Is it `def` or `class`?"""
        return isinstance(self.node, _DEFINITIONS)

    @cached_property
    def code(self) -> str:
        """The statement in a canonical format."""
        return ast.unparse(self.node)

    @cached_property
    def text(self) -> StatementText:
        """What it says, and the names that it mentions."""
        return read_statement(self.node, self.context)


@dataclass(frozen=True, eq=False)
class Module:
    """A module of the project.

    Attributes:
        statements: all but imports, in order.
        imports: those that run when the module does.
        defined: the statements that define a name; several where it is defined again.
        imported: the imports that give a name.
    """

    statements: tuple[Statement, ...]
    imports: tuple[Import, ...]
    defined: dict[str, list[Statement]]
    imported: dict[str, list[Import]]

    @cached_property
    def unused(self) -> tuple[Import, ...]:
        """The imports whose names no statement mentions: they are there to run."""
        mentioned = set().union(*(found.text.mentioned for found in self.statements))
        return tuple(found for found in self.imports if found.name not in mentioned)


@cache
def read_module(
    source: bytes, file: str, package: str, project: frozenset[str]
) -> Module:
    """Take a module apart.

    Args:
        source: its text. Docstrings and other bare strings do not count.
        file: where it stands, for messages.
        package: what its relative imports are relative to.
        project: the names of the packages and modules that are not in a package.
    """
    tree = ast.parse(source, file)
    imports: list[Import] = []
    for node in tree.body:
        # What `def` and `class` import is theirs, unless they say `global`; what `if`
        # and `try` import is not.
        if b"global" in source or not isinstance(node, _DEFINITIONS):
            for part in ast.walk(node):
                if isinstance(part, ast.Import | ast.ImportFrom):
                    imports += imports_of(part, package)
    imported = _by_name((found.name, found) for found in imports)
    nodes = [
        (node, tuple(dict.fromkeys(_names(node))))
        for node in tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)
        and not is_text(node)
    ]
    # Names with a meaning of their own here, whatever they mean elsewhere.
    ours = frozenset(name for _, names in nodes for name in names)
    context = Context(
        package=package,
        project=project,
        imported=imported,
        ours=ours,
        loggers=_loggers([node for node, _ in nodes], imported, ours),
        plain_errors=_plain_errors([node for node, _ in nodes], ours),
        has_walrus=b":=" in source,
    )
    statements: list[Statement] = []
    plain: set[str] = set()
    given = Counter(name for _, names in nodes for name in names)
    for node, names in nodes:
        if is_told(node, context) and not doing(node, context):
            continue
        has_effects = _has_effects(node, context, plain)
        statements.append(Statement(node, names, context, has_effects))
        if isinstance(node, ast.ClassDef) and not has_effects:
            within = [name for part in node.body for name in _names(part)]
            if "__init_subclass__" not in within and given[node.name] == 1:
                plain.add(node.name)
    defined = _by_name((name, found) for found in statements for name in found.names)
    return Module(tuple(statements), tuple(imports), defined, imported)


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _loggers(
    nodes: list[ast.stmt], imported: dict[str, list[Import]], ours: frozenset[str]
) -> frozenset[str]:
    """The names that are given to a logger, and to nothing else."""
    none: frozenset[str] = frozenset()
    plain = Context("", none, imported, ours, none, none, has_walrus=False)
    return frozenset(
        name
        for name, node in _given_once(nodes)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and plain.full_names(node.value.func) == {"logging.getLogger"}
    )


def _given_once(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that one statement gives and no other does, each with it."""
    given = _by_name((name, node) for node in nodes for name in _names(node))
    for name, (node, *others) in given.items():
        if not others:
            yield name, node


def _plain_errors(nodes: list[ast.stmt], ours: frozenset[str]) -> frozenset[str]:
    """The errors that are built-in ones under a name of their own."""
    return frozenset(
        name
        for name, node in _given_once(nodes)
        if isinstance(node, ast.ClassDef)
        and not (node.decorator_list or node.keywords)
        and all(
            isinstance(base, ast.Name) and base.id in ERRORS - ours
            for base in node.bases
        )
        and all(_is_plain(part) for part in node.body)
    )


def _is_plain(part: ast.stmt) -> bool:
    """A text, nothing, or `a = 1`: part of a class that does nothing."""
    is_constant = isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant)
    return is_constant or isinstance(part, ast.Pass) or is_text(part)


def _names(node: ast.stmt) -> Iterator[str]:
    """What a statement defines; for `if`, `try` and the like, what it may define."""
    if isinstance(node, _DEFINITIONS):
        yield node.name
        return
    parts = list(ast.walk(node))
    inner = {
        id(name)
        for part in parts
        if isinstance(part, ast.comprehension)
        for name in ast.walk(part.target)
    }
    for part in parts:
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            if id(part) not in inner:
                yield part.id
        elif isinstance(part, _DEFINITIONS):
            yield part.name


def _has_effects(node: ast.stmt, context: Context, plain: Collection[str] = ()) -> bool:
    """Can running this do more than to define names? When in doubt, yes.

    Args:
        plain: classes of the module; to derive from them does nothing else.
    """
    evaluated: list[ast.expr | None]
    if isinstance(node, FUNCTIONS):
        called = [*node.decorator_list]
        arguments = [part for part in ast.walk(node.args) if isinstance(part, ast.arg)]
        evaluated = [*node.args.defaults, *node.args.kw_defaults, node.returns]
        evaluated += [argument.annotation for argument in arguments]
    elif isinstance(node, ast.ClassDef):
        if node.keywords or any(_has_effects(part, context) for part in node.body):
            return True
        bases = [base for base in node.bases if dotted(base) not in plain]
        called, evaluated = [*node.decorator_list, *bases], []
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [part for target in targets for part in ast.walk(target)]
        if any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
            return True
        annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
        called, evaluated = [], [node.value, annotation]
    else:
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        return not (is_import or isinstance(node, ast.Pass) or is_text(node))
    for expression in [*called, *evaluated]:
        for part in ast.walk(expression) if expression else ():
            if isinstance(part, ast.Call):
                called.append(part.func)
    return not all(_is_quiet(callee, context) for callee in called)


def _is_quiet(callee: ast.expr, context: Context) -> bool:
    if isinstance(callee, ast.Call):  # a decorator with arguments
        callee = callee.func
    if isinstance(callee, ast.Subscript):  # Generic[T]
        callee = callee.value
    names = context.full_names(callee) if dotted(callee) else set()
    return bool(names) and names <= _QUIET
