"""A study of 2,000 runs is as many jobs as it has families and shards."""

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from study_copy import PROJECT, copy_project, snakemake

from vitproto.study.run_table import expand_runs

MANY = PROJECT / "tests/workflow/many.yaml"
# Linux takes no argument above 128 kB, and a shell gets its command as one argument.
LONGEST_COMMAND = 128 * 1024


def row_by_row(file: Path) -> dict:
    """A study with each of its runs in a row of its own."""
    study = yaml.safe_load(file.read_text())
    rows = []
    for run in expand_runs(study["runs"], study["encoders"]):
        named = dataclasses.asdict(run.run)
        rows.append(
            {
                **run.family._asdict(),
                **{key: value for key, value in named.items() if value is not None},
            }
        )
    return {**study, "runs": rows}


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> str:
    """What a dry run of 2,000 rows shows, with all commands."""
    project = copy_project(tmp_path_factory.mktemp("many"))
    study = row_by_row(MANY)
    assert len(study["runs"]) == 2000
    (project / "many.yaml").write_text(yaml.safe_dump(study))
    shown = snakemake(
        *(project, "all", "-n", "-p", "--configfile", "many.yaml"),
        *("--profile", "profiles/slurm"),
    )
    assert shown.returncode == 0, shown.stdout[-3000:]
    return shown.stdout


def test_there_is_one_job_per_family_or_shard_and_step(shown):
    table = shown.rsplit("Job stats:", 1)[1].split("\n\n")[0]
    counts = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    n_places, n_families = 2 * 4, 2 * 4 * 5
    assert counts.pop("record_activations") == 2 * (4 + 32)
    assert counts.pop("fit_random") == 2 * n_places  # random and randomtrain
    assert counts.pop("fit_gaussian") == counts.pop("fit_kmeans") == n_places
    assert counts.pop("fit_sae") == counts.pop("evaluate_saes") == n_places
    assert counts.pop("score_images") == counts.pop("select_prototypes") == n_families
    assert counts.pop("permute_labels") == n_families
    assert counts.pop("pool_activations") == counts.pop("probe_traits") == n_places
    assert counts.pop("compare_methods") == n_places
    assert counts.pop("fetch_weights") == 2  # encoders
    assert counts.pop("check_images") == 2  # data sets
    total = counts.pop("total")
    assert set(counts.values()) == {1}
    assert total == 72 + 2 + 2 + 9 * n_places + 3 * n_families + len(counts)


COMMAND = r"^Shell command: (.*?2>&1)$"


def test_each_run_stands_in_the_command_of_its_family(shown):
    commands = re.findall(COMMAND, shown, re.M | re.S)
    n_runs = Counter()
    for command in commands:
        found = re.search(r"scripts/(fit_\w+).py .*--runs (.*?) \\\n", command, re.S)
        if found:
            n_runs[found[1]] += len(found[2].split())
    assert n_runs.total() == 2000
    assert n_runs.pop("fit_random") == 2 * 8 * 50  # random and randomtrain
    assert set(n_runs.values()) == {8 * 50}


def test_no_command_is_near_what_a_shell_takes(shown):
    commands = re.findall(COMMAND, shown, re.M | re.S)
    longest = max(map(len, commands))
    assert 0 < longest < LONGEST_COMMAND / 4


def test_a_family_may_have_2000_runs(workdir):
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    row = {"encoder": "tiny-vit", "layer": 3, "method": "gaussian"}
    study["runs"] = [{**row, "n_prototypes": 1, "seed": list(range(2000))}]
    study["study"] = "large"
    study["features"]["runs"] = []
    study["methods"]["saes"] = {}
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    manifest = "results/large/tiny-vit/layer3/gaussian/checkpoints.json"
    shown = snakemake(
        workdir, manifest, "--configfile", "tiny.yaml", "-p", "--cores", "1"
    )
    assert shown.returncode == 0, shown.stdout[-3000:]
    commands = re.findall(COMMAND, shown.stdout, re.M | re.S)
    (command,) = (command for command in commands if "fit_gaussian" in command)
    assert len(command) < LONGEST_COMMAND / 4
    listed = json.loads((workdir / manifest).read_text())["runs"]
    assert len(listed) == 2000
