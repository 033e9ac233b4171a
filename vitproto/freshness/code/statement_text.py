"""The content of a statement: its code without layout, and the names in it.

Names that lead out of the statement are kept apart from the rest of its code, so that
it reads the same wherever they come from. Messages are left out: the texts of errors,
and what is logged or printed.
"""

import ast
import builtins
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

# The texts passed to these are messages.
ERRORS = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
_TAKE_TEXTS = ERRORS | {"sys.exit", "warnings.warn"}
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
_LOGGER = "logging.Logger"
_PRINT = {
    "print",
    *(f"logging.{level}" for level in _LEVELS),
    *(f"{_LOGGER}.{level}" for level in _LEVELS),
}
# These only read their arguments, and do not use them up as `list` does an iterator.
_ONLY_READ = {
    *("abs", "bool", "float", "format", "int", "isinstance", "len"),
    *("repr", "round", "str", "type"),
}
# Their argument is the name of a module.
_TAKE_MODULES = {"importlib.import_module", "importlib.resources.files"}

# Fields of syntax nodes that can bind names, unless `:=` is used.
_BINDING_FIELDS = {
    *("body", "orelse", "finalbody", "handlers", "items", "cases"),
    *("target", "targets", "optional_vars"),
    *("elts", "value", "pattern", "patterns", "kwd_patterns"),
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_ACTS = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, *_COMPREHENSIONS)
_NOT_CODE = {"ctx", "kind", "type_comment"}


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


class Reference(NamedTuple):
    """A name that leads out of a statement, with its attributes."""

    name: str
    """The name with its attributes: `np.linalg.eigh`."""
    imports: tuple[Import, ...]
    """The imports within the statement that bind it; none if it is a global name."""
    argument: str | None
    """The text with which it is called, if any; empty if it gets no argument."""
    is_global: bool
    """Whether it may be a global name."""
    rebinds: bool
    """Whether a function, or an assignment to a module's attribute, binds it anew."""


class ModuleName(NamedTuple):
    """A text that names a module."""

    name: str


@dataclass(frozen=True)
class StatementText:
    """The content of a statement."""

    digest: str
    """A digest of its code without `leads`."""
    leads: tuple[Reference | Import | ModuleName, ...]
    """The names and imports that lead out of it, in order of appearance."""
    texts: tuple[str, ...]
    """The string constants in it."""
    attributes: frozenset[str]
    """The names of all attributes in it."""
    mentioned: frozenset[str]
    """The global names in it, including those in messages."""


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
            return {".".join([_LOGGER, *rest])}
        sources = self.imported.get(first) or self.imported.get("*")
        if first in self.ours or not first:
            return set()
        return {
            ".".join([import_.module, *import_.path, *rest])
            for import_ in sources or [Import(first, first, "", "")]
        }


def read_statement(node: ast.stmt, context: Context) -> StatementText:
    """Parse a statement at the top of a module."""
    reader = _Reader(context)
    reader.read(node)
    return reader.result()


def only_prints(node: ast.stmt, context: Context) -> bool:
    """Whether a statement at the top of a module only logs or prints something."""
    return _Reader(context).only_prints(node)


def side_effects(node: ast.AST, context: Context) -> list[ast.expr]:
    """The parts of an expression that may have side effects."""
    return list(_Reader(context).side_effects(node))


def is_text(node: ast.AST) -> bool:
    """Whether a node is a docstring, or the sentence under a field (its `--help`)."""
    return isinstance(node, ast.Expr) and _is_string(node.value)


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


@dataclass(frozen=True)
class _Scope:
    """The names that are local to a function, class or comprehension."""

    is_class: bool = False
    names: set[str] = field(default_factory=set)
    """The names that are not bound by imports alone."""
    imports: dict[str, list[Import]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)


class _Meaning(NamedTuple):
    """The meaning of a name where it is used."""

    is_local: bool
    is_global: bool
    imports: tuple[Import, ...] = ()
    is_unsure: bool = False
    """Whether it may be something local as well."""


class _Reader:
    """Writes down a statement node by node; special kinds of nodes have a method."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._pieces: list[str | Reference | Import | ModuleName] = []
        self._write = self._pieces.append
        self._texts: list[str] = []
        self._attributes: set[str] = set()
        self._mentioned: set[str] = set()
        self._scopes: list[_Scope] = []

    def result(self) -> StatementText:
        digest = hashlib.sha256()
        leads = []
        for piece in self._pieces:
            if isinstance(piece, str):
                digest.update(piece.encode("utf-8", "surrogatepass"))
                continue
            leads.append(piece)
            # Where code of the project is imported does not count.
            if not isinstance(piece, Import) or not self._is_of_project(piece):
                digest.update(b"\0")
        return StatementText(
            digest=digest.hexdigest()[:16],
            leads=tuple(leads),
            texts=tuple(dict.fromkeys(self._texts)),
            attributes=frozenset(self._attributes),
            mentioned=frozenset(self._mentioned),
        )

    def _is_of_project(self, import_: Import) -> bool:
        return import_.runs.partition(".")[0] in self.context.project

    def read(self, node: ast.AST) -> None:
        method = _METHODS.get(type(node))
        if method is not None:
            method(self, node)
            return
        self._write(f"{type(node).__name__}(")
        for name in node._fields:
            if name not in _NOT_CODE:
                self._read_value(getattr(node, name, None))
        self._write(")")

    def _read_value(self, value: object) -> None:
        if isinstance(value, ast.AST):
            self.read(value)
        elif isinstance(value, list):
            self._write("[")
            for part in value:
                self._read_value(part)
            self._write("]")
        else:
            self._write(f"{value!r},")

    # Names.

    def _meaning(self, name: str) -> _Meaning:
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
                return _Meaning(not imports, False, imports, is_unsure)
            # Until the class binds it, it has its meaning outside.
            is_unsure = True
        return _Meaning(False, True, imports, is_unsure)

    def _lead(self, name: str, ctx: ast.expr_context, argument: str | None) -> None:
        first, *rest = name.split(".")
        self._attributes.update(rest)
        meaning = self._meaning(first)
        is_bound = not isinstance(ctx, ast.Load)
        scope = self._scopes[-1] if self._scopes else _Scope()
        is_of_class = scope.is_class and first not in scope.globals
        if meaning.is_local or (is_bound and not rest and is_of_class):
            self._write(f"local({name})")
            return
        if is_bound or meaning.is_unsure:
            self._write(f"name({name})")
        is_elsewhere = bool(rest) or (bool(self._scopes) and not meaning.imports)
        self._write(
            Reference(
                name=name,
                imports=meaning.imports,
                argument=argument,
                is_global=meaning.is_global,
                rebinds=is_bound and is_elsewhere,
            )
        )
        if meaning.is_global:
            self._mentioned.add(first)

    def _read_name(self, node: ast.Name | ast.Attribute) -> None:
        name = dotted(node)
        if name is not None:
            self._lead(name, node.ctx, None)
            return
        assert isinstance(node, ast.Attribute)
        self._attributes.add(node.attr)
        self._write(f"Attribute({node.attr},")
        self.read(node.value)
        self._write(")")

    def _read_constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._texts.append(node.value)
        self._write(f"{node.value!r},")

    def _read_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for import_ in imports_of(node, self.context.package):
            self._write(import_)
            if self._is_bound_again(import_.name):
                self._write(f"import {import_.name},")

    def _is_bound_again(self, name: str) -> bool:
        """Whether an imported name is bound elsewhere too, so that order matters."""
        if not self._scopes:
            imports = self.context.imported.get(name, ())
            return len(imports) > 1 or name in self.context.ours
        scope = self._scopes[-1]
        return len(scope.imports.get(name, ())) > 1 or name in scope.names

    def _read_annotation(self, annotation: ast.expr | None) -> None:
        """Read an annotation, and the names in it if it is written as a string."""
        self._read_value(annotation)
        for part in ast.walk(annotation) if annotation else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                # Most are the shapes of arrays.
                parsed = _parse(part.value)
                if parsed is not None:
                    self.read(parsed)

    def _full_names(self, callee: ast.AST) -> set[str]:
        """Full names as in `Context.full_names`, with imports in functions."""
        name = dotted(callee)
        if name is None:
            return set()
        first, *rest = name.split(".")
        meaning = self._meaning(first)
        if meaning.is_local or meaning.is_unsure:
            return set()
        if meaning.imports:
            return {".".join([i.module, *i.path, *rest]) for i in meaning.imports}
        return self.context.full_names(callee)

    # Scopes.

    def _read_within(self, scope: _Scope, *parts: object) -> None:
        self._scopes.append(scope)
        for part in parts:
            self._read_value(part)
        self._scopes.pop()

    def _read_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._write(f"{type(node).__name__}({node.name},")
        self._read_value(node.args)
        self._read_value(node.decorator_list)
        self._read_annotation(node.returns)
        scope = _Scope()
        scope.names.update(_arguments(node.args))
        _bind(node.body, scope, self.context)
        self._read_within(scope, node.body)
        self._write(")")

    def _read_lambda(self, node: ast.Lambda) -> None:
        self._write("Lambda(")
        self._read_value(node.args)
        scope = _Scope(names={*_arguments(node.args)})
        _bind([node.body], scope, self.context)
        self._read_within(scope, node.body)
        self._write(")")

    def _read_class(self, node: ast.ClassDef) -> None:
        self._write(f"ClassDef({node.name},")
        self._read_value(node.bases)
        self._read_value(node.keywords)
        self._read_value(node.decorator_list)
        scope = _Scope(is_class=True)
        _bind(node.body, scope, self.context)
        self._read_within(scope, node.body)
        self._write(")")

    def _read_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self._write(f"{type(node).__name__}(")
        first, *others = node.generators
        self.read(first.iter)
        targets = [part.target for part in node.generators]
        names = {
            name.id
            for target in targets
            for name in ast.walk(target)
            if isinstance(name, ast.Name)
        }
        is_pair = isinstance(node, ast.DictComp)
        values = [node.key, node.value] if is_pair else [node.elt]
        self._read_within(
            _Scope(names=names),
            *(values, first.target, first.ifs, first.is_async, others),
        )
        self._write(")")

    def _read_argument(self, node: ast.arg) -> None:
        self._write(f"{node.arg},")
        self._read_annotation(node.annotation)

    def _read_annotated(self, node: ast.AnnAssign) -> None:
        self._write(f"AnnAssign({node.simple},")
        self.read(node.target)
        self._read_annotation(node.annotation)
        self._read_value(node.value)
        self._write(")")

    # Calls and messages.

    def _read_call(self, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        if first is not None and _is_message(first):
            names = self._full_names(node.func)
            if names and names <= _TAKE_TEXTS:
                self._read_message_call(node, stops=False)
                return
            if names and names <= _TAKE_MODULES and isinstance(first, ast.Constant):
                self._lead_call(node)
                self._texts.append(first.value)
                self._write(ModuleName(first.value))
                self._read_value(node.args[1:])
                self._read_value(node.keywords)
                self._write(")")
                return
        self._lead_call(node)
        self._read_value(node.args)
        self._read_value(node.keywords)
        self._write(")")

    def _lead_call(self, node: ast.Call) -> None:
        """Write the called name, and that it is called."""
        self._write("Call(")
        name = dotted(node.func)
        if name is None:
            self.read(node.func)
            return
        first = node.args[0] if node.args else None
        argument = first.value if first is not None and _is_string(first) else None
        has_none = not node.args and not node.keywords
        self._lead(name, ast.Load(), "" if has_none else argument)

    def _read_message_call(self, node: ast.Call, *, stops: bool) -> None:
        """Read a call without the texts passed to it.

        Args:
            stops: execution ends here, so that what texts call cannot matter.
        """
        self._write("Call(")
        self.read(node.func)
        for part in node.args:
            if not _is_message(part):
                self._read_value(part)
                continue
            self._write("'',")
            self._note_names(part)
            for effect in () if stops else self.side_effects(part):
                self.read(effect)
        self._read_value(node.keywords)
        self._write(")")

    def _read_expression(self, node: ast.Expr) -> None:
        if is_text(node):
            return
        is_message = self.only_prints(node)
        if is_message:
            self._note_names(node)
        for part in self.side_effects(node) if is_message else [node.value]:
            self._write("Expr(")
            self.read(part)
            self._write(")")

    def _read_raise(self, node: ast.Raise) -> None:
        self._write("Raise(")
        error = node.exc
        if isinstance(error, ast.Call) and self._is_plain_error(error.func):
            self._read_message_call(error, stops=True)
        else:
            self._read_value(error)
        self._read_value(node.cause)
        self._write(")")

    def _is_plain_error(self, callee: ast.expr) -> bool:
        """Whether an error only shows its texts; those of other errors may be data."""
        names = self._full_names(callee)
        if names:
            return names <= ERRORS
        return dotted(callee) in self.context.plain_errors

    def _read_assert(self, node: ast.Assert) -> None:
        self._write("Assert(")
        self.read(node.test)
        if node.msg is not None and _is_message(node.msg):
            self._note_names(node.msg)
        else:
            self._read_value(node.msg)
        self._write(")")

    def _read_nothing(self, node: ast.Pass) -> None:
        pass

    def _note_names(self, node: ast.AST) -> None:
        """Note the names in a message: an import for it counts as used."""
        parts = ast.walk(node)
        self._mentioned.update(part.id for part in parts if isinstance(part, ast.Name))

    def only_prints(self, node: ast.stmt) -> bool:
        """Whether a statement only logs or prints something."""
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            return False
        names = self._full_names(node.value.func)
        # `file=` or `**options` may print into a file.
        to_file = {keyword.arg for keyword in node.value.keywords} & {"file", None}
        return bool(names) and names <= _PRINT and not to_file

    def side_effects(self, node: ast.AST) -> Iterator[ast.expr]:
        """The parts of an expression that may have side effects."""
        parts = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Expr) and self.only_prints(node):
            assert isinstance(node.value, ast.Call)
            parts = [*node.value.args, *node.value.keywords]
        elif isinstance(node, ast.Call):
            names = self._full_names(node.func)
            if not names or not names <= _ONLY_READ:
                yield node
                return
            parts = [*node.args, *node.keywords]
        elif isinstance(node, ast.Lambda):
            return
        elif isinstance(node, _ACTS):
            yield node
            return
        elif isinstance(node, ast.Starred):
            if not isinstance(node.value, ast.Tuple | ast.List):
                yield node.value
                return
        elif isinstance(node, ast.BoolOp | ast.IfExp | ast.Compare):
            # Which part is evaluated depends on the others.
            if any(True for part in parts for _ in self.side_effects(part)):
                assert isinstance(node, ast.expr)
                yield node
            return
        for part in parts:
            yield from self.side_effects(part)


_METHODS = {
    ast.Name: _Reader._read_name,
    ast.Attribute: _Reader._read_name,
    ast.Constant: _Reader._read_constant,
    ast.Import: _Reader._read_import,
    ast.ImportFrom: _Reader._read_import,
    ast.FunctionDef: _Reader._read_function,
    ast.AsyncFunctionDef: _Reader._read_function,
    ast.Lambda: _Reader._read_lambda,
    ast.ClassDef: _Reader._read_class,
    **dict.fromkeys(_COMPREHENSIONS, _Reader._read_comprehension),
    ast.arg: _Reader._read_argument,
    ast.AnnAssign: _Reader._read_annotated,
    ast.Call: _Reader._read_call,
    ast.Expr: _Reader._read_expression,
    ast.Raise: _Reader._read_raise,
    ast.Assert: _Reader._read_assert,
    ast.Pass: _Reader._read_nothing,
}


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    several = [arguments.vararg, arguments.kwarg]
    positional = [*arguments.posonlyargs, *arguments.args]
    for argument in (*positional, *arguments.kwonlyargs, *several):
        if argument is not None:
            yield argument.arg


def _bind(nodes: Iterable[ast.AST], scope: _Scope, context: Context) -> None:
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
        elif isinstance(node, _COMPREHENSIONS):
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


@cache
def _parse(text: str) -> ast.AST | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_message(node: ast.expr) -> bool:
    """Whether an expression is certainly a text."""
    if isinstance(node, ast.JoinedStr) or _is_string(node):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_message(node.left) or _is_message(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _is_message(node.left)
    if isinstance(node, ast.IfExp):
        return _is_message(node.body) and _is_message(node.orelse)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        makes_text = node.func.attr in ("format", "join")
        return makes_text and _is_message(node.func.value)
    return False
