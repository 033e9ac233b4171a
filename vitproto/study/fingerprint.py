"""Which code can change what a stage writes?"""

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "vitproto"


def fingerprint(stage: str, project: Path = PROJECT) -> str:
    """A digest of all code that the stage `scripts/{stage}.py` can reach.

    Covers the stage, the modules of this project that it imports, directly or not,
    and data files beside those modules that they name. Comments, docstrings and
    formatting do not count, nor does where the project lies. Snakemake compares it
    as a parameter of the stage's rule: a change makes the stage's outputs stale,
    and no others.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256()
    for file in import_closure(project / "scripts" / f"{stage}.py", project):
        name = file.relative_to(project).as_posix()
        content = _meaning(file) if file.suffix == ".py" else file.read_bytes()
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    return digest.hexdigest()[:16]


def import_closure(module: Path, project: Path = PROJECT) -> list[Path]:
    """The files that decide what `module` does, itself included, sorted."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        if file.suffix == ".py":
            waiting.extend(_reached(file, project))
    return sorted(found)


def _reached(file: Path, project: Path) -> Iterator[Path]:
    """Modules of the project that `file` imports, and data files that it names."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from _data_file(file, node.value)
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE:
                yield _module_file(name, project)


def _module_file(name: str, project: Path) -> Path:
    """Where `vitproto.a.b` is written: a module, or a name within one.

    The `__init__.py` of the packages on the way do not count: they hold nothing
    but imports (a test sees to it).
    """
    path = project.joinpath(*name.split("."))
    for candidate in (
        path.with_suffix(".py"),
        path.parent.with_suffix(".py"),
        path / "__init__.py",
        path.parent / "__init__.py",
    ):
        if candidate.is_file():
            return candidate
    raise ValueError(f"{name} is imported, but is nowhere in {project}")


def _data_file(module: Path, text: str) -> Iterator[Path]:
    """The file beside `module` that `text` names, if it names one."""
    if re.fullmatch(r"\w[\w-]*(\.\w+)+", text):
        path = module.with_name(text)
        if path.suffix != ".py" and path.is_file():
            yield path


def _meaning(file: Path) -> bytes:
    """The code of a module without comments, docstrings and formatting."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            # Docstrings, and the sentences under fields that become `--help`.
            code = [statement for statement in node.body if not _is_text(statement)]
            node.body = code or [ast.Pass()]
    return ast.unparse(tree).encode()


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
