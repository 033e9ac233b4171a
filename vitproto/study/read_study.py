"""Read a study from its file."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vitproto.core.project import PROJECT
from vitproto.study.check import check_study, refuse
from vitproto.study.paths import expand_paths
from vitproto.study.presets import Resolved, resolve
from vitproto.study.problems import Config
from vitproto.study.yaml_file import read_mapping

SCHEMA = Path("workflow/schemas/config.schema.yaml")
"""The schema of configurations, relative to the folder of the project."""


def read_study(file: Path) -> dict[str, Any]:
    """Read a study with all that it takes over from presets.

    Args:
        file: the study, such as config/config.yaml.

    Raises:
        ValueError: the file is missing or not a YAML mapping, or the study cannot
            run.
    """
    return resolve_and_check(read_mapping(file), [file], PROJECT).config


def resolve_and_check(
    config: Config,
    files: Sequence[Path],
    project: Path,
    typed: Config = MappingProxyType({}),
) -> Resolved:
    """Fill in what a study takes over from presets, and check it.

    Args:
        config: the study, as merged from its files and the command line.
        files: its own files.
        project: the folder of the workflow, with schema and presets.
        typed: what `--config` says, which is merged into `config` already.

    Raises:
        ValueError: one line for each problem: where it stands, what is wrong, what to
            write instead.
    """
    resolved = resolve(config, files, project, typed)
    check_study(resolved.config, project / SCHEMA, resolved.lines)
    expanded, problems = expand_paths(resolved.config)
    refuse(problems, resolved.lines)
    return resolved._replace(config=expanded)
