"""Jobs that a cluster gets as one: those of them that can be made are, and once."""

import re
import subprocess
import sys

import pytest
from study_copy import environment

N_SHARDS = 3


@pytest.fixture
def shards(workdir):
    """The recorded shards, of which nothing vouches for the first."""
    found = sorted(workdir.glob("results/activations/*/*/*/shard-*.h5"))
    assert len(found) == N_SHARDS
    note_of(found[0]).unlink()
    return found


def note_of(result):
    return result.parent / ".origins" / f"{result.name}.json"


def run_group(workdir, shards, *how: str) -> subprocess.CompletedProcess[str]:
    """Run the jobs of shards as a cluster does that got them as one."""
    keys = ("dataset", "encoder", "address", "i_shard", "n_shards")
    targets = []
    for shard in shards:
        numbers = re.fullmatch(r"shard-(\d+)-of-(\d+)", shard.stem).groups()
        values = (*shard.relative_to(workdir).parts[2:5], *numbers)
        wildcards = ",".join(map("=".join, zip(keys, values, strict=True)))
        targets.append(f"record_activations:{wildcards}")
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml"),
            *("--target-jobs", *targets, "--allowed-rules", "record_activations"),
            *("--local-groupid", "any", "--cores", "1", "--force", "--no-hooks"),
            *("--nolock", "--keep-incomplete", "--mode", "remote", *how),
        ],
        cwd=workdir,
        env=environment(workdir),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_what_an_earlier_try_has_made_is_left_out(workdir, shards):
    shown = run_group(workdir, shards, "--executor", "dryrun")
    assert shown.returncode == 0, shown.stdout
    outputs = re.findall(r"^    output: (\S+)", shown.stdout, re.MULTILINE)
    assert outputs == [str(shards[0].relative_to(workdir))]


def test_what_is_not_there_any_more_is_made_whatever_its_note_says(workdir, shards):
    shards[1].unlink()
    shown = run_group(workdir, shards, "--executor", "dryrun")
    outputs = re.findall(r"^    output: (\S+)", shown.stdout, re.MULTILINE)
    assert sorted(outputs) == [str(s.relative_to(workdir)) for s in shards[:2]]


def test_if_one_fails_the_others_are_made_all_the_same(workdir, shards):
    for shard in shards[1:]:
        note_of(shard).unlink()
    stage = workdir / "scripts/record_activations.py"
    starts = "    check_root(root, dataset)\n"
    assert starts in stage.read_text()
    breaks = f'    if str(shard).endswith("{shards[0].relative_to(workdir)}"):\n'
    breaks += '        raise ValueError(f"no {shard}")\n'
    stage.write_text(stage.read_text().replace(starts, breaks + starts))
    shown = run_group(workdir, shards)
    assert shown.returncode != 0
    assert [note_of(shard).exists() for shard in shards] == [False, True, True]
