"""The help of a dataclass's fields: the text that stands under each."""

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Mapping


def field_help(settings: type) -> Mapping[str, str]:
    """The text under each field of a dataclass and of those that it extends.

    Raises:
        ValueError: a field has none.
    """
    texts: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if dataclasses.is_dataclass(base):
            texts |= _texts_under_fields(base)
    for field in dataclasses.fields(settings):
        if field.name not in texts:
            raise ValueError(
                f"{settings.__name__}.{field.name} has no help: write a text under it"
            )
    return texts


def _texts_under_fields(settings: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(settings)))
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts
