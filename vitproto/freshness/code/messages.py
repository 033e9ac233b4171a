"""Messages in code: the texts of errors, and what is logged or printed.

They decide nothing, so results do not depend on them.
"""

import ast
import builtins
from collections.abc import Iterator

from vitproto.freshness.code.imports import LOGGER, dotted
from vitproto.freshness.code.scopes import COMPREHENSIONS, Scopes

# The texts passed to these are messages.
ERRORS = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
TAKE_TEXTS = ERRORS | {"sys.exit", "warnings.warn"}
_LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
_PRINT = {
    "print",
    *(f"logging.{level}" for level in _LEVELS),
    *(f"{LOGGER}.{level}" for level in _LEVELS),
}
# These only read their arguments, and do not use them up as `list` does an iterator.
_ONLY_READ = {
    *("abs", "bool", "float", "format", "int", "isinstance", "len"),
    *("repr", "round", "str", "type"),
}
_ACTS = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, *COMPREHENSIONS)


def is_text(node: ast.AST) -> bool:
    """Whether a node is a docstring, or the sentence under a field (its `--help`)."""
    return isinstance(node, ast.Expr) and is_string(node.value)


def only_prints(scopes: Scopes, node: ast.stmt) -> bool:
    """Whether a statement only logs or prints something."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    names = scopes.full_names(node.value.func)
    # `file=` or `**options` may print into a file.
    to_file = {keyword.arg for keyword in node.value.keywords} & {"file", None}
    return bool(names) and names <= _PRINT and not to_file


def side_effects(scopes: Scopes, node: ast.AST) -> Iterator[ast.expr]:
    """The parts of an expression that may have side effects."""
    parts = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Expr) and only_prints(scopes, node):
        assert isinstance(node.value, ast.Call)
        parts = [*node.value.args, *node.value.keywords]
    elif isinstance(node, ast.Call):
        names = scopes.full_names(node.func)
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
        if any(True for part in parts for _ in side_effects(scopes, part)):
            assert isinstance(node, ast.expr)
            yield node
        return
    for part in parts:
        yield from side_effects(scopes, part)


def is_plain_error(scopes: Scopes, callee: ast.expr) -> bool:
    """Whether an error only shows its texts; those of other errors may be data."""
    names = scopes.full_names(callee)
    if names:
        return names <= ERRORS
    return dotted(callee) in scopes.context.plain_errors


def is_string(node: ast.AST) -> bool:
    """Whether a node is a string constant."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_message(node: ast.expr) -> bool:
    """Whether an expression is certainly a text."""
    if isinstance(node, ast.JoinedStr) or is_string(node):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return is_message(node.left) or is_message(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return is_message(node.left)
    if isinstance(node, ast.IfExp):
        return is_message(node.body) and is_message(node.orelse)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        makes_text = node.func.attr in ("format", "join")
        return makes_text and is_message(node.func.value)
    return False
