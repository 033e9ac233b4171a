"""SLURM's answers are read correctly, and no answer differs from an empty one."""

import getpass
from pathlib import Path

import pytest

from vitproto.slurm import commands
from vitproto.slurm.commands import LiveJob, NoAnswerError, Partition


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    commands.partitions.cache_clear()
    return tmp_path


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_partitions_have_limits_of_time_and_the_memory_of_their_largest_node(programs):
    install(programs, "sinfo", 'echo "cpu 64000"; echo "cpu 512000+"; echo "gpu 9"')
    install(
        programs,
        "scontrol",
        'echo "PartitionName=cpu AllowGroups=ALL Default=YES MaxTime=1-12:00:00 '
        "State=UP TRES=cpu=64,mem=1000G QoS=N/A MaxMemPerNode=100000 "
        'AllowAccounts=ALL AllowQos=ALL"\n'
        'echo "PartitionName=gpu Default=NO MaxTime=UNLIMITED State=DOWN QoS=gpus '
        'MaxMemPerNode=UNLIMITED DenyAccounts=poor AllowQos=high,low"\n'
        'echo "PartitionName=odd Default=NO MaxTime=30:00 State=DRAIN"',
    )
    found = commands.partitions()
    assert found == {
        "cpu": Partition("cpu", "UP", 36 * 60, 100_000, is_default=True),
        "gpu": Partition(
            *("gpu", "DOWN", None, 9),
            qos="gpus",
            allowed={"qos": frozenset({"high", "low"})},
            denied={"account": frozenset({"poor"})},
        ),
        "odd": Partition("odd", "DRAIN", 30, None),
    }
    assert found["cpu"].takes("account", "poor")
    assert not found["gpu"].takes("account", "poor")
    assert found["gpu"].takes("account", "rich")
    assert found["gpu"].takes("qos", "low")
    assert not found["gpu"].takes("qos", "lowest")


def test_a_quality_of_service_may_have_a_limit_of_time(programs):
    commands.minutes_of_qos.cache_clear()
    install(programs, "sacctmgr", 'echo "normal|"; echo "brief|01:00:00"; echo welcome')
    assert commands.minutes_of_qos() == {"brief": 60}
    commands.minutes_of_qos.cache_clear()
    install(programs, "sacctmgr", "exit 1")  # no accounting
    assert commands.minutes_of_qos() == {}


@pytest.mark.parametrize(
    ("states", "works"),
    [
        ("idle\ndown*", True),
        ("drained", False),
        ("down*\ndrained\nfail", False),
        ("mixed", True),
    ],
)
def test_a_partition_works_if_one_of_its_nodes_does(programs, states, works):
    install(programs, "sinfo", f"echo '{states}'")
    assert commands.nodes_that_work("cpu") == works


def test_live_jobs_are_the_user_s_and_an_array_is_one(programs):
    install(
        programs,
        "squeue",
        f'case "$*" in *"--user={getpass.getuser()} "*) ;; *) exit 1;; esac\n'
        "echo '11|PENDING|Priority|0:00|rule_fit_pca|/a|b'\n"
        "echo '12|RUNNING|None|1-02:03:04|(null)|/home'\n"
        "echo '13|RUNNING|None|9:59|(null)|/home'\n"
        "echo '13|PENDING|Resources|INVALID|(null)|/home'",
    )
    assert commands.live_jobs() == [
        LiveJob("11", "PENDING", "Priority", "rule_fit_pca", Path("/a|b")),
        LiveJob("12", "RUNNING", "None", "(null)", Path("/home"), 26 * 60 + 3),
        LiveJob("13", "PENDING", "Resources", "(null)", Path("/home")),
    ]


def test_what_slurm_says_last_is_why_it_gave_no_answer(programs):
    install(programs, "squeue", "echo warning >&2; echo 'it is gone' >&2; exit 1")
    with pytest.raises(NoAnswerError, match="^it is gone$"):
        commands.live_jobs()
    install(programs, "squeue", "exit 1")
    with pytest.raises(NoAnswerError, match="^squeue failed$"):
        commands.live_jobs()
    (programs / "squeue").unlink()
    with pytest.raises(NoAnswerError, match="squeue"):
        commands.live_jobs()


def test_a_program_that_says_nothing_is_not_waited_for(programs, monkeypatch):
    monkeypatch.setattr(commands, "ANSWERS_WITHIN_S", 0.2)
    install(programs, "sinfo", "while :; do :; done")
    with pytest.raises(NoAnswerError, match="sinfo did not answer within 0.2 seconds"):
        commands.partitions()


def test_a_machine_without_slurm_is_told_from_one(programs):
    for name in commands.PROGRAMS:
        assert commands.missing_program() == name
        install(programs, name, "")
    assert commands.missing_program() is None
