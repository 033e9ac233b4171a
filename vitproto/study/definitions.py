"""What a module defines, statement by statement, and what each statement uses."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, TypeVar

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
    "numba.njit",
    *("torch.inference_mode", "torch.no_grad"),
    *("torch.autograd.Function", "torch.nn.Module"),
    *("typing.Generic", "typing.NamedTuple", "typing.Protocol", "typing.TypeVar"),
    *("typing.no_type_check", "typing.runtime_checkable"),
}

T = TypeVar("T")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)


class Use(NamedTuple):
    """A name that a statement mentions, with its attributes."""

    name: str
    """Such as `np.linalg.eigh`; `.eigh` alone where it is not a name's attribute."""
    argument: str | None
    """Where it is called with a text: this text."""


class Import(NamedTuple):
    """One name that an import statement gives to something."""

    name: str
    """In the importing module; `*` for all names."""
    module: str
    """What it comes from, or what it is."""
    attribute: str
    """Of that module; empty where the module itself gets the name."""
    runs: str
    """The module that the statement runs, after the packages that it lies in."""

    @property
    def path(self) -> list[str]:
        """Where in `module` the name leads."""
        return [self.attribute] if self.attribute else []


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement at the top of a module.

    Attributes:
        node: the statement, without docstrings.
        names: what it defines.
        package: what its relative imports are relative to.
        has_effects: running it can do more than to define its names, so that it
            counts wherever its module is imported.
    """

    node: ast.stmt
    names: tuple[str, ...]
    package: str
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
    def uses(self) -> list[Use]:
        """The names that it mentions, its own local ones included."""
        return [part for part in self._mentions if isinstance(part, Use)]

    @cached_property
    def imports(self) -> list[Import]:
        """The imports within it."""
        return [part for part in self._mentions if isinstance(part, Import)]

    @cached_property
    def texts(self) -> list[str]:
        """The string constants in it."""
        return [part for part in self._mentions if isinstance(part, str)]

    @cached_property
    def _mentions(self) -> list[Use | Import | str]:
        return list(dict.fromkeys(_mentions(self.node, self.package)))


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
        uses = [use for statement in self.statements for use in statement.uses]
        mentioned = {use.name.split(".")[0] for use in uses}
        return tuple(found for found in self.imports if found.name not in mentioned)


@cache
def read_module(source: bytes, file: str, package: str) -> Module:
    """Take a module apart.

    Args:
        source: its text. Docstrings and other bare strings do not count.
        file: where it stands, for messages.
        package: what its relative imports are relative to.
    """
    tree = ast.parse(source, file)
    _drop_texts(tree)
    imports: list[Import] = []
    for node in tree.body:
        # What `def` and `class` import is theirs, unless they say `global`; what `if`
        # and `try` import is not.
        if b"global" in source or not isinstance(node, _DEFINITIONS):
            for part in ast.walk(node):
                if isinstance(part, ast.Import | ast.ImportFrom):
                    imports += _imports(part, package)
    imported = _by_name((found.name, found) for found in imports)
    nodes = [
        (node, tuple(dict.fromkeys(_names(node))))
        for node in tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)
    ]
    # Names with a meaning of their own here, whatever they mean elsewhere.
    ours = {name for _, names in nodes for name in names}
    statements = [
        Statement(node, names, package, _has_effects(node, imported, ours))
        for node, names in nodes
    ]
    defined = _by_name((name, found) for found in statements for name in found.names)
    return Module(tuple(statements), tuple(imports), defined, imported)


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _drop_texts(node: ast.AST) -> None:
    """Remove docstrings, and the sentences under fields that become `--help`."""
    if isinstance(node, (ast.Module, *_DEFINITIONS)):
        code = [statement for statement in node.body if not _is_text(statement)]
        node.body = code or [ast.Pass()]
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            _drop_texts(child)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


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


def _has_effects(
    node: ast.stmt, imported: dict[str, list[Import]], ours: set[str]
) -> bool:
    """Can running this do more than to define names? When in doubt, yes."""
    evaluated: list[ast.expr | None]
    if isinstance(node, _FUNCTIONS):
        called = [*node.decorator_list]
        arguments = [part for part in ast.walk(node.args) if isinstance(part, ast.arg)]
        evaluated = [*node.args.defaults, *node.args.kw_defaults, node.returns]
        evaluated += [argument.annotation for argument in arguments]
    elif isinstance(node, ast.ClassDef):
        if node.keywords or any(
            _has_effects(part, imported, ours) for part in node.body
        ):
            return True
        called, evaluated = [*node.decorator_list, *node.bases], []
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = [part for target in targets for part in ast.walk(target)]
        if any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
            return True
        annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
        called, evaluated = [], [node.value, annotation]
    else:
        return not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)
    for expression in [*called, *evaluated]:
        for part in ast.walk(expression) if expression else ():
            if isinstance(part, ast.Call):
                called.append(part.func)
    return not all(_is_quiet(callee, imported, ours) for callee in called)


def _is_quiet(
    callee: ast.expr, imported: dict[str, list[Import]], ours: set[str]
) -> bool:
    if isinstance(callee, ast.Call):  # a decorator with arguments
        callee = callee.func
    if isinstance(callee, ast.Subscript):  # Generic[T]
        callee = callee.value
    first, *rest = (_dotted(callee) or "").split(".")
    builtin = Import(first, first, "", "")
    sources = imported.get(first) or imported.get("*") or [builtin]
    return first not in ours and all(
        ".".join([found.module, *found.path, *rest]) in _QUIET for found in sources
    )


def _mentions(node: ast.AST, package: str) -> Iterator[Use | Import | str]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        name = _dotted(node)
        if name:
            yield Use(name, None)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node, package)
            continue
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Attribute):  # of what a call gives, or the like
            yield Use(f".{node.attr}", None)
        elif isinstance(node, ast.Call) and node.args:
            first, callee = node.args[0], _dotted(node.func)
            is_text = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if callee and is_text:
                yield Use(callee, first.value)
                children.remove(node.func)
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            children += _in_texts(node.annotation)
        elif isinstance(node, _FUNCTIONS) and node.returns:
            children += _in_texts(node.returns)
        waiting += children


def _in_texts(annotation: ast.expr) -> Iterator[ast.AST]:
    """The annotations that are written as strings, taken apart."""
    for part in ast.walk(annotation):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            # Most are the shapes of arrays.
            with suppress(SyntaxError):
                yield ast.parse(part.value, mode="eval")


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[Import]:
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


def _dotted(node: ast.AST) -> str | None:
    """`a.b.c`, where a node is just that."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(attributes)])
