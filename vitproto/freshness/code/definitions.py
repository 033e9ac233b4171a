"""Split a module into statements: what each defines, and what it mentions."""

import ast
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TypeVar

from vitproto.freshness.code.imports import Context, Import, dotted, imports_of
from vitproto.freshness.code.messages import ERRORS, is_text, only_prints, side_effects
from vitproto.freshness.code.scopes import FUNCTIONS, Scopes
from vitproto.freshness.code.statement_text import StatementText, read_statement

# Calling these, decorating with them or deriving from them has no side effects.
# Omissions only cause extra reruns.
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
        node: its syntax tree.
        names: the names that it defines.
        context: the meaning of the names in it.
        has_effects: whether running it can do more than define its names. If so, it
            counts wherever its module is imported.
    """

    node: ast.stmt
    names: tuple[str, ...]
    context: Context
    has_effects: bool

    @property
    def is_definition(self) -> bool:
        """Whether it is a `def` or `class`."""
        return isinstance(self.node, _DEFINITIONS)

    @cached_property
    def code(self) -> str:
        """The statement in a canonical format."""
        return ast.unparse(self.node)

    @cached_property
    def text(self) -> StatementText:
        """Its content, with the names that it mentions."""
        return read_statement(self.node, self.context)


@dataclass(frozen=True, eq=False)
class Module:
    """A module of the project.

    Attributes:
        statements: all statements except imports, in order.
        imports: the imports that run when the module does.
        defined: by name, the statements that define it.
        imported: by name, the imports that bind it.
    """

    statements: tuple[Statement, ...]
    imports: tuple[Import, ...]
    defined: dict[str, list[Statement]]
    imported: dict[str, list[Import]]

    @cached_property
    def unused(self) -> tuple[Import, ...]:
        """The imports whose names no statement mentions: side effects are their use."""
        mentioned = set().union(*(each.text.mentioned for each in self.statements))
        return tuple(each for each in self.imports if each.name not in mentioned)


@cache
def read_module(
    source: bytes, file: str, package: str, project: frozenset[str]
) -> Module:
    """Split a module into statements and imports.

    Args:
        source: its text. Docstrings and other bare strings do not count.
        file: its path, for messages.
        package: the package to which its relative imports are relative.
        project: the names of the project's top-level packages and modules.
    """
    tree = ast.parse(source, file)
    imports: list[Import] = []
    for node in tree.body:
        # Imports in `def` and `class` are local unless there is a `global`; those in
        # `if` and `try` are not.
        if b"global" in source or not isinstance(node, _DEFINITIONS):
            for part in ast.walk(node):
                if isinstance(part, ast.Import | ast.ImportFrom):
                    imports += imports_of(part, package)
    imported = _by_name((import_.name, import_) for import_ in imports)
    nodes = [
        (node, tuple(dict.fromkeys(_names(node))))
        for node in tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)
        and not is_text(node)
    ]
    # Names that the module defines, whatever they mean elsewhere.
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
    scopes = Scopes(context)
    statements: list[Statement] = []
    plain: set[str] = set()
    n_bound = Counter(name for _, names in nodes for name in names)
    for node, names in nodes:
        if only_prints(scopes, node) and not [*side_effects(scopes, node)]:
            continue
        has_effects = _has_effects(node, context, plain)
        statements.append(Statement(node, names, context, has_effects))
        if isinstance(node, ast.ClassDef) and not has_effects:
            within = [name for part in node.body for name in _names(part)]
            if "__init_subclass__" not in within and n_bound[node.name] == 1:
                plain.add(node.name)
    defined = _by_name((name, each) for each in statements for name in each.names)
    return Module(tuple(statements), tuple(imports), defined, imported)


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _loggers(
    nodes: list[ast.stmt], imported: dict[str, list[Import]], ours: frozenset[str]
) -> frozenset[str]:
    """The names that are bound to a logger, and to nothing else."""
    none: frozenset[str] = frozenset()
    plain = Context("", none, imported, ours, none, none, has_walrus=False)
    return frozenset(
        name
        for name, node in _bound_once(nodes)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and plain.full_names(node.value.func) == {"logging.getLogger"}
    )


def _bound_once(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that exactly one statement binds, each with that statement."""
    bound = _by_name((name, node) for node in nodes for name in _names(node))
    for name, (node, *others) in bound.items():
        if not others:
            yield name, node


def _plain_errors(nodes: list[ast.stmt], ours: frozenset[str]) -> frozenset[str]:
    """The classes that only give a built-in error another name."""
    return frozenset(
        name
        for name, node in _bound_once(nodes)
        if isinstance(node, ast.ClassDef)
        and not (node.decorator_list or node.keywords)
        and all(
            isinstance(base, ast.Name) and base.id in ERRORS - ours
            for base in node.bases
        )
        and all(_is_plain(part) for part in node.body)
    )


def _is_plain(part: ast.stmt) -> bool:
    """Whether a statement in a class is a text, `pass`, or like `a = 1`."""
    is_constant = isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant)
    return is_constant or isinstance(part, ast.Pass) or is_text(part)


def _names(node: ast.stmt) -> Iterator[str]:
    """The names that a statement defines; for `if`, `try` and so on, may define."""
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
    """Whether a statement can do more than define names; true when in doubt.

    Args:
        plain: classes of the module whose subclasses have no side effects.
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
