"""Fill in what a study takes over from presets.

A preset is a file below `config/presets/` that holds a part of a study, under the same
keys. A study names presets in its list `presets`:

- sections are merged key by key, at every depth; any other value, also a list, is
  replaced as a whole;
- a preset wins over those before it, and the study's own keys win over all.
"""

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vitproto.study.problems import Config
from vitproto.study.yaml_file import read_mapping
from vitproto.study.yaml_lines import Lines

FOLDER = Path("config/presets")
"""The folder of presets, relative to that of the project."""

OWN_KEYS = ("presets", "study")
"""Keys that a study may set, but a preset may not."""


class Resolved(NamedTuple):
    """A study with all that it takes over from presets."""

    config: dict[str, Any]
    """The study, without the key `presets`: to resolve it again changes nothing."""
    files: list[Path]
    """The presets, and then the study's own files."""
    lines: Lines
    """Where its keys stand."""


def resolve(
    config: Config, files: Sequence[Path], project: Path, typed: Config
) -> Resolved:
    """Fill in what a study takes over from presets.

    Args:
        config: the study, as merged from its files and the command line.
        files: its own files.
        project: the folder of the workflow, with the presets.
        typed: what `--config` says, which is merged into `config` already.

    Raises:
        ValueError: `presets` is not a list of presets that exist, or a preset cannot be
            read or says what only a study says.
    """
    names = config.get("presets", [])
    own_lines = Lines.of_files(files, typed)
    _check_list(names, own_lines)
    folder = project / FOLDER
    presets = [_file_of(name, i, own_lines, folder) for i, name in enumerate(names)]
    resolved: dict[str, Any] = {}
    for preset in presets:
        part = read_mapping(preset)
        for key in OWN_KEYS:
            if key in part:
                place = Lines.of_files([preset]).place((key,))
                raise ValueError(f"{place}: is for studies, not for presets: remove it")
        resolved = merge(resolved, part)
    own = {key: value for key, value in config.items() if key != "presets"}
    every = [*presets, *files]
    return Resolved(merge(resolved, own), every, Lines.of_files(every, typed))


def merge(base: Config, over: Config) -> dict[str, Any]:
    """`base` with the keys of `over`, which win; neither is changed."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _check_list(names: object, lines: Lines) -> None:
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_list or len(set(names)) < len(names):
        raise ValueError(
            f"{lines.place(('presets',))}: {names!r} is not a list of different "
            "presets: write such as [storage, methods/saes]"
        )


def _file_of(name: str, i: int, lines: Lines, folder: Path) -> Path:
    known = {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for file in sorted(folder.rglob("*.yaml"))
    }
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? There are" if close else "there are"
        raise ValueError(
            f"{lines.place(('presets', i))}: {name!r} is not a preset: "
            f"{hint} {', '.join(known)}"
        )
    return known[name]
