"""Check a study's configuration before any job runs."""

import functools
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from vitproto.study.check_runs import check_features, check_runs
from vitproto.study.check_sections import check_sections
from vitproto.study.check_segmentation import check_segmentation
from vitproto.study.problems import Config, Problem
from vitproto.study.schema_errors import schema_problems
from vitproto.study.yaml_lines import Lines


def check_study(config: Config, schema: Path, lines: Lines) -> None:
    """Refuse a configuration that cannot run.

    Args:
        config: the study, as merged from files and command line.
        schema: a JSON schema, written in YAML.
        lines: where its keys stand.

    Raises:
        ValueError: one line for each problem: where it stands, what is wrong, what to
            write instead.
    """
    problems = [*_check_finite(config, ())]
    if not problems:
        problems = schema_problems(config, _validator(schema))
    # Combinations can only be judged once each part is of the right kind.
    if not problems:
        problems = list(_combinations(config))
    refuse(problems, lines)


def refuse(problems: Collection[Problem], lines: Lines) -> None:
    """Raise a ValueError with one line for each problem, if there are any."""
    if problems:
        raise ValueError(
            "\n".join(f"{lines.place(path)}: {text}" for path, text in problems)
        )


def _check_finite(value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """YAML has numbers that are none: `.inf` and `.nan`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _check_finite(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _check_finite(inner, (*path, i))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, f"is {value}: write a finite number")


def _combinations(config: Config) -> Iterator[Problem]:
    """Settings that are right one by one, but not together."""
    yield from check_sections(config)
    run_problems = list(check_runs(config))
    yield from run_problems
    if not run_problems:
        yield from check_features(config)
        if "segmentation" in config:
            yield from check_segmentation(config)


@functools.cache
def _validator(schema: Path) -> Draft202012Validator:
    text = schema.read_text(encoding="utf-8")
    return Draft202012Validator(yaml.load(text, yaml.CSafeLoader))
