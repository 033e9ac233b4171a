"""What a statement says: its code without layout, and the names that it mentions.

Names that lead out of the statement are kept apart from the rest of its code, so that
it reads the same wherever they come from. What it says to people is left out: the texts
of errors, what is logged or printed.
"""

import ast
import builtins
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

# The texts that these get are read by people.
ERRORS = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
_TAKE_TEXTS = ERRORS | {"sys.exit", "warnings.warn"}
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
_LOGGER = "logging.Logger"
_TELL = {
    "print",
    *(f"logging.{level}" for level in _LEVELS),
    *(f"{_LOGGER}.{level}" for level in _LEVELS),
}
# These look at their arguments, and do not use them up as `list` does an iterator.
_LOOK = {
    *("abs", "bool", "float", "format", "int", "isinstance", "len"),
    *("repr", "round", "str", "type"),
}
# Their argument is the name of a module.
_TAKE_MODULES = {"importlib.import_module", "importlib.resources.files"}

# Where in a statement names are given, unless `:=` is used.
_GIVING = {
    *("body", "orelse", "finalbody", "handlers", "items", "cases"),
    *("target", "targets", "optional_vars"),
    *("elts", "value", "pattern", "patterns", "kwd_patterns"),
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_ACTS = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, *_COMPREHENSIONS)
_NOT_CODE = {"ctx", "kind", "type_comment"}


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


class Reference(NamedTuple):
    """A name that leads out of a statement, with its attributes."""

    name: str
    """Such as `np.linalg.eigh`."""
    imports: tuple[Import, ...]
    """The imports within the statement that give it; none if it is a global name."""
    argument: str | None
    """Where it is called with a text: this text. Empty where it gets no argument."""
    is_global: bool
    """May it be a global name?"""
    rebinds: bool
    """Is it given to something else, by a function or as a module's attribute?"""


class ModuleName(NamedTuple):
    """A text that says which module is meant."""

    name: str


@dataclass(frozen=True)
class StatementText:
    """What a statement says."""

    digest: str
    """Of its code, without what is in `leads`."""
    leads: tuple[Reference | Import | ModuleName, ...]
    """What leads out of it, in order of appearance."""
    texts: tuple[str, ...]
    """The string constants in it."""
    attributes: frozenset[str]
    """The attributes that it mentions, of anything."""
    mentioned: frozenset[str]
    """The global names that it mentions, those in messages included."""


@dataclass(frozen=True)
class Context:
    """What the names of a module mean."""

    package: str
    """What its relative imports are relative to."""
    project: frozenset[str]
    """The modules of the project that are not in a package."""
    imported: Mapping[str, Sequence[Import]]
    """The imports that give a name."""
    ours: frozenset[str]
    """The names that its statements define."""
    loggers: frozenset[str]
    """Those among them that name loggers."""
    plain_errors: frozenset[str]
    """Those among them that name errors which hold a text and nothing else."""
    has_walrus: bool
    """May an expression within it give a name?"""

    def full_names(self, callee: ast.AST) -> set[str]:
        """What `np.sqrt` may be: `numpy.sqrt`. Nothing if it may be of the module."""
        first, *rest = (dotted(callee) or "").split(".")
        if first in self.loggers:
            return {".".join([_LOGGER, *rest])}
        sources = self.imported.get(first) or self.imported.get("*")
        if first in self.ours or not first:
            return set()
        return {
            ".".join([found.module, *found.path, *rest])
            for found in sources or [Import(first, first, "", "")]
        }


def read_statement(node: ast.stmt, context: Context) -> StatementText:
    """Take a statement at the top of a module apart."""
    reader = _Reader(context)
    reader.read(node)
    return reader.result()


def is_told(node: ast.stmt, context: Context) -> bool:
    """Does a statement at the top of a module only log or print something?"""
    return _Reader(context).is_told(node)


def doing(node: ast.AST, context: Context) -> list[ast.expr]:
    """The parts of an expression that may do something, beside being looked at."""
    return list(_Reader(context).doing(node))


def is_text(node: ast.AST) -> bool:
    """Is it a docstring, or the sentence under a field that becomes its `--help`?"""
    return isinstance(node, ast.Expr) and _is_string(node.value)


def imports_of(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[Import]:
    """The names that an import statement gives."""
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
    """`a.b.c`, where a node is just that."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(attributes)])


@dataclass(frozen=True)
class _Scope:
    """The names that are known within a function, class or comprehension only."""

    is_class: bool = False
    names: set[str] = field(default_factory=set)
    """Those that are not given by imports alone."""
    imports: dict[str, list[Import]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)


class _Meaning(NamedTuple):
    """What a name means at its place."""

    is_local: bool
    is_global: bool
    imports: tuple[Import, ...] = ()
    is_unsure: bool = False
    """May it be something local as well?"""


class _Reader:
    """Writes a statement down node by node; each kind that is special has a method."""

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
            if not isinstance(piece, Import) or not self._is_ours(piece):
                digest.update(b"\0")
        return StatementText(
            digest=digest.hexdigest()[:16],
            leads=tuple(leads),
            texts=tuple(dict.fromkeys(self._texts)),
            attributes=frozenset(self._attributes),
            mentioned=frozenset(self._mentioned),
        )

    def _is_ours(self, found: Import) -> bool:
        return found.runs.partition(".")[0] in self.context.project

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
            if scope.is_class and depth > 0:  # not known within its functions
                continue
            imports = (*imports, *scope.imports.get(name, ()))
            if not scope.is_class:
                is_unsure |= bool(imports) and name in scope.names
                return _Meaning(not imports, False, imports, is_unsure)
            # Until the class gives it, it is what it is outside.
            is_unsure = True
        return _Meaning(False, True, imports, is_unsure)

    def _lead(self, name: str, ctx: ast.expr_context, argument: str | None) -> None:
        first, *rest = name.split(".")
        self._attributes.update(rest)
        meaning = self._meaning(first)
        is_given = not isinstance(ctx, ast.Load)
        scope = self._scopes[-1] if self._scopes else _Scope()
        is_of_class = scope.is_class and first not in scope.globals
        if meaning.is_local or (is_given and not rest and is_of_class):
            self._write(f"local({name})")
            return
        if is_given or meaning.is_unsure:
            self._write(f"name({name})")
        is_elsewhere = bool(rest) or (bool(self._scopes) and not meaning.imports)
        self._write(
            Reference(
                name=name,
                imports=meaning.imports,
                argument=argument,
                is_global=meaning.is_global,
                rebinds=is_given and is_elsewhere,
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
        for found in imports_of(node, self.context.package):
            self._write(found)
            if self._is_given_again(found.name):
                self._write(f"import {found.name},")

    def _is_given_again(self, name: str) -> bool:
        """Does it matter where a name is imported, since it is given elsewhere too?"""
        if not self._scopes:
            imports = self.context.imported.get(name, ())
            return len(imports) > 1 or name in self.context.ours
        scope = self._scopes[-1]
        return len(scope.imports.get(name, ())) > 1 or name in scope.names

    def _read_annotation(self, annotation: ast.expr | None) -> None:
        """Annotations that are written as strings are read as well."""
        self._read_value(annotation)
        for part in ast.walk(annotation) if annotation else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                # Most are the shapes of arrays.
                parsed = _parse(part.value)
                if parsed is not None:
                    self.read(parsed)

    def _full_names(self, callee: ast.AST) -> set[str]:
        """As in `Context`, with the names of functions."""
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
        made = [node.key, node.value] if is_pair else [node.elt]
        self._read_within(
            _Scope(names=names),
            *(made, first.target, first.ifs, first.is_async, others),
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

    # Calls, and what is said to people.

    def _read_call(self, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        if first is not None and _is_message(first):
            names = self._full_names(node.func)
            if names and names <= _TAKE_TEXTS:
                self._read_told_call(node, stops=False)
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
        """Write what is called, and that it is."""
        self._write("Call(")
        name = dotted(node.func)
        if name is None:
            self.read(node.func)
            return
        first = node.args[0] if node.args else None
        argument = first.value if first is not None and _is_string(first) else None
        has_none = not node.args and not node.keywords
        self._lead(name, ast.Load(), "" if has_none else argument)

    def _read_told_call(self, node: ast.Call, *, stops: bool) -> None:
        """A call without the texts that it gets.

        Args:
            stops: nothing goes on here, so that what texts call cannot matter.
        """
        self._write("Call(")
        self.read(node.func)
        for part in node.args:
            if not _is_message(part):
                self._read_value(part)
                continue
            self._write("'',")
            self._tell(part)
            for done in () if stops else self.doing(part):
                self.read(done)
        self._read_value(node.keywords)
        self._write(")")

    def _read_expression(self, node: ast.Expr) -> None:
        if is_text(node):
            return
        told = self.is_told(node)
        if told:
            self._tell(node)
        for done in self.doing(node) if told else [node.value]:
            self._write("Expr(")
            self.read(done)
            self._write(")")

    def _read_raise(self, node: ast.Raise) -> None:
        self._write("Raise(")
        made = node.exc
        if isinstance(made, ast.Call) and self._is_plain_error(made.func):
            self._read_told_call(made, stops=True)
        else:
            self._read_value(made)
        self._read_value(node.cause)
        self._write(")")

    def _is_plain_error(self, callee: ast.expr) -> bool:
        """Does nothing but a message come of its texts? Others may be data."""
        names = self._full_names(callee)
        if names:
            return names <= ERRORS
        return dotted(callee) in self.context.plain_errors

    def _read_assert(self, node: ast.Assert) -> None:
        self._write("Assert(")
        self.read(node.test)
        if node.msg is not None and _is_message(node.msg):
            self._tell(node.msg)
        else:
            self._read_value(node.msg)
        self._write(")")

    def _read_nothing(self, node: ast.Pass) -> None:
        pass

    def _tell(self, node: ast.AST) -> None:
        """Note the names in a message: an import for it is not there to run."""
        parts = ast.walk(node)
        self._mentioned.update(part.id for part in parts if isinstance(part, ast.Name))

    def is_told(self, node: ast.stmt) -> bool:
        """Does a statement only log or print something?"""
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            return False
        names = self._full_names(node.value.func)
        # To a file, or who knows where.
        somewhere = {keyword.arg for keyword in node.value.keywords} & {"file", None}
        return bool(names) and names <= _TELL and not somewhere

    def doing(self, node: ast.AST) -> Iterator[ast.expr]:
        """The parts of an expression that may do something, beside being looked at."""
        parts = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Expr) and self.is_told(node):
            assert isinstance(node.value, ast.Call)
            parts = [*node.value.args, *node.value.keywords]
        elif isinstance(node, ast.Call):
            names = self._full_names(node.func)
            if not names or not names <= _LOOK:
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
            # Which of the parts is done depends on the others.
            if any(True for part in parts for _ in self.doing(part)):
                assert isinstance(node, ast.expr)
                yield node
            return
        for part in parts:
            yield from self.doing(part)


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
    """Note the names that the body of a function or class gives."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                scope.names.add(node.id)
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            scope.names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for found in imports_of(node, context.package):
                scope.imports.setdefault(found.name, []).append(found)
        elif isinstance(node, ast.Global):
            scope.globals.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            scope.nonlocals.update(node.names)
        elif isinstance(node, _COMPREHENSIONS):
            # Its targets are its own.
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
                if context.has_walrus or name in _GIVING:
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
    """Is it surely a text?"""
    if isinstance(node, ast.JoinedStr) or _is_string(node):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_message(node.left) or _is_message(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _is_message(node.left)
    if isinstance(node, ast.IfExp):
        return _is_message(node.body) and _is_message(node.orelse)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        is_made = node.func.attr in ("format", "join")
        return is_made and _is_message(node.func.value)
    return False
