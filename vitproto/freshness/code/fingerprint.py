"""Fingerprints of stages: digests of all code that can change what a stage writes."""

from pathlib import Path

from vitproto.core.project import PROJECT
from vitproto.freshness.code.code_graph import Code, digest_of_code
from vitproto.freshness.code.dependencies import versions
from vitproto.freshness.code.nodes import nodes_of
from vitproto.freshness.code.search import Search


def fingerprint(stage: str, project: Path = PROJECT) -> str:
    """A digest of all code that the stage `scripts/{stage}.py` can reach.

    Notes of origin hold it: a change makes the stage's results stale, and all that is
    made from them.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        Sixteen hexadecimal digits; the same wherever the project lies.
    """
    return digest_of_code(reached(stage, project))


def reached(stage: str, project: Path = PROJECT) -> dict[str, str]:
    """All code that can change what the stage `scripts/{stage}.py` writes.

    Starts with what runs when the stage does, and follows names through imports,
    decorators, defaults, annotations and base classes. A class counts as a whole. Of
    a module that is imported, statements that do more than define names always count.
    Where names do not show what is reached (a module is passed around, `globals()`,
    `import *`), the whole module counts.

    A definition counts by its text and by the definitions to which its names lead, not
    by where these lie or how they are imported: moving code changes nothing.

    Comments, docstrings and formatting do not count, nor do messages: the texts of
    errors and warnings, and what is logged or printed. So no code may depend on the
    words of our own errors. What messages call counts, except in errors that are
    raised, where nothing goes on.

    Args:
        stage: name of a file in `scripts/`, without its suffix.
        project: the folder that holds `scripts/` and the package.

    Returns:
        A digest of each definition (`vitproto/core/files.py: whole_file`), of what a
        module does besides defining names, and in which order
        (`vitproto/core/files.py`), and of each data file beside the code that names it,
        each with the keys of those to which its names lead; and the version of each
        package from elsewhere (`numpy`). `digest_of_code` and `changes_of_code` compare
        such dictionaries.
    """
    search = Search(project)
    search.run_stage(stage)
    return Code(nodes_of(search), versions(search.outside)).to_dict()
