"""The commands of the rules: one flag a line, and one name for one thing."""

import re
import shlex
from collections import defaultdict

import pytest
import yaml
from study_copy import PROJECT, copy_project, snakemake

from vitproto.study.read_study import read_study

FORMATS = {"png", "svg", "csv", "table"}
"""Flags of what is written for readers: the same result in several formats."""
STORES = {"centre", "store"}
"""The folder of k-means's own checkpoints is both."""
NUMBERED = (
    ("held_out",),
    ("selection",),
    ("features",),
    ("methods", "kmeans"),
    *(("segmentation", part) for part in ("probes", "ranking", "suppression")),
    ("segmentation", "pictures"),
)
"""Sections of a study whose whole numbers may be any."""


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """All commands of both demos, as `snakemake -p` prints them."""
    workdir = copy_project(tmp_path_factory.mktemp("project"))
    # Falling, since no more latents can be chosen than are ranked before.
    printed, numbers = [], iter(range(30_999, 30_000, -1))
    for name in ("demo", "demo_scenes"):
        study = read_study(PROJECT / f"config/{name}.yaml")
        number(study, numbers)
        file = f"config/numbered_{name}.yaml"
        (workdir / file).write_text(yaml.safe_dump(study))
        shown = snakemake(workdir, "-n", "-p", "--configfile", file).stdout
        command = r"^Shell command: (.*?2>&1)$"
        printed += re.findall(command, shown, re.MULTILINE | re.DOTALL)
    assert len(printed) > 150
    return printed


def number(study, numbers):
    """Give each whole number in the sections that are `NUMBERED` a value of its own."""
    for path in NUMBERED:
        section = study
        for key in path:
            section = section.get(key, {})
        for key, value in section.items():
            if (type(value) is int and value > 0) or "seed" in key:
                is_list = isinstance(value, list)
                section[key] = [next(numbers)] if is_list else next(numbers)


def flags_in(command):
    """Each flag of a command, with its values."""
    words = shlex.split(command.replace("\\\n", " "))
    flag, values = None, defaultdict(list)
    for word in words[: words.index("2>&1") - 1]:
        if word.startswith("--"):
            flag, _, value = word[2:].partition("=")
            values[flag] += [value] if value else []
        elif flag:
            values[flag].append(word)
    return values


def test_every_rule_shows_one_flag_a_line(commands):
    for command in commands:
        first, *lines, last = [line.strip() for line in command.strip().splitlines()]
        assert re.fullmatch(r"(\w+=\w+ )?python scripts/\w+\.py \\", first), command
        for line in lines:
            assert re.fullmatch(r"--\w+\b.*\\", line), command
            assert line.count("--") == 1, command
        assert last.startswith(">"), command


def test_a_file_has_the_same_flag_where_it_is_written_and_where_it_is_read(commands):
    flags_of = defaultdict(set)
    for command in commands:
        for flag, values in flags_in(command).items():
            is_format = flag.rpartition("_")[2] in FORMATS
            for value in values:
                if value.startswith("results/") and not is_format:
                    flags_of[value].add(flag.removesuffix("s"))
    assert len(flags_of) > 100
    several = {path: flags for path, flags in flags_of.items() if len(flags) > 1}
    assert {path: flags for path, flags in several.items() if flags != STORES} == {}


def test_a_setting_has_the_same_flag_in_every_stage(commands):
    flags_of = defaultdict(set)
    for command in commands:
        for flag, values in flags_in(command).items():
            for value in values:
                if re.fullmatch(r"30\d{3}", value):
                    flags_of[value].add(flag)
    assert len(flags_of) > 25
    assert {v: flags for v, flags in flags_of.items() if len(flags) > 1} == {}


def test_a_flag_with_runs_names_them_the_same_way_in_every_stage(commands):
    are_families = defaultdict(set)
    for command in commands:
        for flag, values in flags_in(command).items():
            if any(re.search(r"\bk\d+\S*-seed\d+$", value) for value in values):
                are_families[flag] |= {":" in value for value in values}
    assert are_families["runs"] == {False}
    assert are_families["families"] == are_families["sae_families"] == {True}
    assert all(len(kinds) == 1 for kinds in are_families.values())
