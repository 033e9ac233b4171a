"""What `~` and variables stand for in the paths of a study.

They are expanded here and nowhere else, so Snakemake, its jobs and all checks see the
same files.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

from vitproto.study.problems import Config, KeyPath, Problem

_LOCAL = "local-dir:"
"""What stands before the path in the `model` of an encoder in a folder."""

_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


def expand_paths(config: Config) -> tuple[dict[str, Any], list[Problem]]:
    """Expand `~`, `~user`, `$VAR` and `${VAR}` in all paths of a study.

    Args:
        config: the study; its sections have the form that the schema says.

    Returns:
        The study with its paths expanded, and what is wrong with them.
    """
    problems: list[Problem] = []

    def expand(path: KeyPath, text: str) -> str:
        problem = _find_problem(text)
        if problem is not None:
            problems.append(Problem(path, problem))
            return text
        prefix = _LOCAL if text.startswith(_LOCAL) else ""
        folder = os.path.expanduser(text.removeprefix(prefix))
        return prefix + os.path.expandvars(folder)

    expanded = dict(config)
    for path, text in _paths_of(config):
        _replace(expanded, path, expand(path, text))
    return expanded, problems


def _paths_of(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """All paths of a study, and the keys under which they stand."""
    for name, folder in config["storage"].items():
        yield ("storage", name), folder
    for name, dataset in config["datasets"].items():
        if "root" in dataset:
            yield ("datasets", name, "root"), dataset["root"]
        if "table" in dataset:
            yield ("datasets", name, "table", "file"), dataset["table"]["file"]
    for name, encoder in config["encoders"].items():
        for key in ("weights", "model"):
            yield ("encoders", name, key), encoder[key]
    for name, said in config["methods"]["imported"].items():
        path = ("methods", "imported", name)
        if isinstance(said, str):
            yield path, said
            continue
        yield (*path, "file"), said["file"]
        if "mean" in said.get("scaling", {}):
            yield (*path, "scaling", "mean"), said["scaling"]["mean"]


def _find_problem(text: str) -> str | None:
    unset = [
        name
        for name in (match[1].strip("{}") for match in _VARIABLE.finditer(text))
        if name not in os.environ
    ]
    if unset:
        return (
            f"{text!r} names ${unset[0]}, which is not set: set it in the shell that "
            "starts Snakemake, or write the folder itself"
        )
    folder = text.removeprefix(_LOCAL)
    if folder.startswith("~") and os.path.expanduser(folder) == folder:
        return f"{text!r} names a home that does not exist: write the folder itself"
    expanded = os.path.expandvars(os.path.expanduser(folder))
    if set(expanded) & set("{}\n"):
        stands_for = "" if expanded == folder else f", which stands for {expanded!r},"
        return (
            f"{text!r}{stands_for} has braces or line breaks, which mean something "
            "else to Snakemake: rename the folder, or name it through a link"
        )
    return None


def _replace(config: dict[str, Any], path: KeyPath, value: str) -> None:
    """Set a key in a copy of the sections above it: they may be shared."""
    *outer, last = path
    section = config
    for key in outer:
        section[key] = dict(section[key])
        section = section[key]
    section[last] = value
