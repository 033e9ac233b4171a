"""Whether the process behind a file has ended, told by its name."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from owners import ended_owner, owner_of

from vitproto.core import owner as module
from vitproto.core.owner import has_ended, owner

AGES = (0.0, 1e6)
"""Seconds; one that shows nothing and one that would show the end."""
AFTER_S = 3600


@pytest.fixture(autouse=True)
def _outside_slurm(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Replace SLURM's command by a script; returns how to write it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(script: str) -> Path:
        command, asked = tmp_path / "squeue", tmp_path / "asked"
        command.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{script}\n')
        command.chmod(0o755)
        return asked

    return write


def elsewhere(job: str, host: str = "another-node") -> str:
    return f"{host}-0123abcd-{job}-77"


@pytest.mark.parametrize("age_s", AGES)
def test_a_process_of_this_machine_is_looked_up_however_long_it_is_silent(age_s):
    assert not has_ended(owner(), age_s, AFTER_S)
    assert not has_ended(owner_of(os.getppid()), age_s, AFTER_S)
    assert has_ended(ended_owner(), age_s, AFTER_S)


def test_a_process_that_has_ended_unasked_has_ended():
    """Its entry stays until its parent asks how it ended, which some never do."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    while "Z" not in Path(f"/proc/{ended.pid}/stat").read_text().split(")")[1]:
        time.sleep(0.01)
    assert has_ended(owner_of(ended.pid), 0.0, AFTER_S)
    ended.wait()


def test_another_container_of_the_same_name_is_another_machine(monkeypatch):
    """Its process numbers mean nothing here, even if one of them is in use."""
    name = owner_of(os.getppid())
    ended = ended_owner()
    module._space.cache_clear()
    monkeypatch.setattr("os.readlink", lambda path: "pid:[1]")
    try:
        assert not has_ended(ended, AFTER_S - 1.0, AFTER_S)
        assert has_ended(name, AFTER_S + 1.0, AFTER_S)
    finally:
        module._space.cache_clear()


@pytest.mark.parametrize("age_s", AGES)
@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("echo 12", False),
        ("exit 0", True),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
    ],
)
def test_slurm_says_which_of_its_jobs_live(squeue, script, ended, age_s):
    asked = squeue(script)
    assert has_ended(elsewhere("12"), age_s, AFTER_S) == ended
    assert asked.read_text() == "--noheader --jobs=12 --format=%A\n"


@pytest.mark.parametrize(
    "script",
    ["echo 'Unable to contact slurm controller' >&2; exit 1", "exec sleep 60", None],
)
def test_where_slurm_does_not_answer_silence_decides(squeue, monkeypatch, script):
    monkeypatch.setattr(module, "LONGEST_ANSWER_S", 0.2)
    if script is None:
        monkeypatch.setenv("PATH", "")
    else:
        squeue(script)
    assert not has_ended(elsewhere("12"), AFTER_S - 1.0, AFTER_S)
    assert has_ended(elsewhere("12"), AFTER_S + 1.0, AFTER_S)


def test_a_job_that_slurm_moved_here_does_not_take_itself_for_the_one_that_ended(
    squeue, monkeypatch
):
    asked = squeue("echo 12")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert owner().split("-")[-2] == "12"
    assert not has_ended(elsewhere("12"), AFTER_S - 1.0, AFTER_S)
    assert has_ended(elsewhere("12"), AFTER_S + 1.0, AFTER_S)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert has_ended(elsewhere("12"), 0.0, AFTER_S)
    assert not asked.exists()


def test_names_of_other_versions_are_judged_by_silence():
    for name in ("a-host-7", "anything"):
        assert not has_ended(name, AFTER_S - 1.0, AFTER_S)
        assert has_ended(name, AFTER_S + 1.0, AFTER_S)


def test_a_host_may_have_any_name(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node-3-12-a.b")
    assert not has_ended(owner(), 1e6, AFTER_S)
    assert has_ended(ended_owner(), 0.0, AFTER_S)
