"""The commands of the rules: one flag a line, and one name for one thing."""

import re
import shlex
from collections import defaultdict

import pytest
from study_copy import copy_project, snakemake

FORMATS = {"png", "svg", "csv", "table"}
"""Flags of what is written for readers: the same result in several formats."""
STORES = {"centre", "store"}
"""The folder of k-means's own checkpoints is both."""


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """All commands of both demos, as `snakemake -p` prints them."""
    workdir = copy_project(tmp_path_factory.mktemp("project"))
    printed = []
    for study in ("config/demo.yaml", "config/demo_scenes.yaml"):
        shown = snakemake(workdir, "-n", "-p", "--configfile", study).stdout
        command = r"^Shell command: (.*?2>&1)$"
        printed += re.findall(command, shown, re.MULTILINE | re.DOTALL)
    assert len(printed) > 150
    return printed


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
        first, *lines = [line.strip() for line in command.strip().splitlines()]
        assert re.fullmatch(r"(\w+=\w+ )?python scripts/\w+\.py \\", first), command
        assert all(line.endswith("\\") for line in lines[:-1]), command
        assert lines[-1].startswith(">"), command


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
