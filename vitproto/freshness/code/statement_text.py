"""The content of a statement: its code without layout, and the names in it.

Names that lead out of the statement are kept apart from the rest of its code, so that
it reads the same wherever they come from. Messages are left out.
"""

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from vitproto.freshness.code.imports import Context, Import, dotted, imports_of
from vitproto.freshness.code.messages import (
    TAKE_TEXTS,
    is_message,
    is_plain_error,
    is_string,
    is_text,
    only_prints,
    side_effects,
)
from vitproto.freshness.code.scopes import (
    COMPREHENSIONS,
    Scope,
    Scopes,
    scope_of_class,
    scope_of_comprehension,
    scope_of_function,
)

# Their argument is the name of a module.
_TAKE_MODULES = {"importlib.import_module", "importlib.resources.files"}

_NOT_CODE = {"ctx", "kind", "type_comment"}


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


def read_statement(node: ast.stmt, context: Context) -> StatementText:
    """Parse a statement at the top of a module."""
    reader = _Reader(context)
    reader.read(node)
    return reader.result()


class _Reader:
    """Writes down a statement node by node; special kinds of nodes have a method."""

    def __init__(self, context: Context) -> None:
        self._scopes = Scopes(context)
        self._context = context
        self._pieces: list[str | Reference | Import | ModuleName] = []
        self._write = self._pieces.append
        self._texts: list[str] = []
        self._attributes: set[str] = set()
        self._mentioned: set[str] = set()

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
        return import_.runs.partition(".")[0] in self._context.project

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

    def _lead(self, name: str, ctx: ast.expr_context, argument: str | None) -> None:
        first, *rest = name.split(".")
        self._attributes.update(rest)
        meaning = self._scopes.meaning(first)
        is_bound = not isinstance(ctx, ast.Load)
        scope = self._scopes.inner or Scope()
        is_of_class = scope.is_class and first not in scope.globals
        if meaning.is_local or (is_bound and not rest and is_of_class):
            self._write(f"local({name})")
            return
        if is_bound or meaning.is_unsure:
            self._write(f"name({name})")
        is_inside = self._scopes.inner is not None
        is_elsewhere = bool(rest) or (is_inside and not meaning.imports)
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
        for import_ in imports_of(node, self._context.package):
            self._write(import_)
            if self._is_bound_again(import_.name):
                self._write(f"import {import_.name},")

    def _is_bound_again(self, name: str) -> bool:
        """Whether an imported name is bound elsewhere too, so that order matters."""
        scope = self._scopes.inner
        if scope is None:
            imports = self._context.imported.get(name, ())
            return len(imports) > 1 or name in self._context.ours
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

    # Scopes.

    def _read_within(self, scope: Scope, *parts: object) -> None:
        with self._scopes.within(scope):
            for part in parts:
                self._read_value(part)

    def _read_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._write(f"{type(node).__name__}({node.name},")
        self._read_value(node.args)
        self._read_value(node.decorator_list)
        self._read_annotation(node.returns)
        self._read_within(scope_of_function(node, self._context), node.body)
        self._write(")")

    def _read_lambda(self, node: ast.Lambda) -> None:
        self._write("Lambda(")
        self._read_value(node.args)
        self._read_within(scope_of_function(node, self._context), node.body)
        self._write(")")

    def _read_class(self, node: ast.ClassDef) -> None:
        self._write(f"ClassDef({node.name},")
        self._read_value(node.bases)
        self._read_value(node.keywords)
        self._read_value(node.decorator_list)
        self._read_within(scope_of_class(node, self._context), node.body)
        self._write(")")

    def _read_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self._write(f"{type(node).__name__}(")
        first, *others = node.generators
        self.read(first.iter)
        is_pair = isinstance(node, ast.DictComp)
        values = [node.key, node.value] if is_pair else [node.elt]
        self._read_within(
            scope_of_comprehension(node.generators),
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
        if first is not None and is_message(first):
            names = self._scopes.full_names(node.func)
            if names and names <= TAKE_TEXTS:
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
        argument = first.value if first is not None and is_string(first) else None
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
            if not is_message(part):
                self._read_value(part)
                continue
            self._write("'',")
            self._note_names(part)
            for effect in () if stops else side_effects(self._scopes, part):
                self.read(effect)
        self._read_value(node.keywords)
        self._write(")")

    def _read_expression(self, node: ast.Expr) -> None:
        if is_text(node):
            return
        is_message = only_prints(self._scopes, node)
        if is_message:
            self._note_names(node)
        for part in side_effects(self._scopes, node) if is_message else [node.value]:
            self._write("Expr(")
            self.read(part)
            self._write(")")

    def _read_raise(self, node: ast.Raise) -> None:
        self._write("Raise(")
        error = node.exc
        if isinstance(error, ast.Call) and is_plain_error(self._scopes, error.func):
            self._read_message_call(error, stops=True)
        else:
            self._read_value(error)
        self._read_value(node.cause)
        self._write(")")

    def _read_assert(self, node: ast.Assert) -> None:
        self._write("Assert(")
        self.read(node.test)
        if node.msg is not None and is_message(node.msg):
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
    **dict.fromkeys(COMPREHENSIONS, _Reader._read_comprehension),
    ast.arg: _Reader._read_argument,
    ast.AnnAssign: _Reader._read_annotated,
    ast.Call: _Reader._read_call,
    ast.Expr: _Reader._read_expression,
    ast.Raise: _Reader._read_raise,
    ast.Assert: _Reader._read_assert,
    ast.Pass: _Reader._read_nothing,
}


@cache
def _parse(text: str) -> ast.AST | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
