"""While all jobs wait in SLURM's queue, the reason is reported from time to time."""

import threading
import time
from pathlib import Path

import pytest

from vitproto.slurm import waiting
from vitproto.slurm.commands import LiveJob, NoAnswerError
from vitproto.slurm.waiting import describe, watch


def job(reason: str, state: str = "PENDING") -> LiveJob:
    return LiveJob("7", state, reason, "rule_fit_pca", Path("/home"))


def test_reasons_are_counted_and_said_in_words():
    jobs = [job("Priority"), job("Resources"), job("Priority")]
    assert describe(jobs) == (
        "All 3 jobs wait in SLURM's queue: 2 for Priority (other jobs come first), 1 "
        "for Resources (nodes, CPUs or GPUs are in use)"
    )


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("PartitionTimeLimit", "(forever: they ask for more time than the partition"),
        ("PartitionDown", "(until the partition is up)"),
        ("ReqNodeNotAvail, UnavailableNodes:a1", "(until nodes that are down or"),
        ("Licenses", "The job waits in SLURM's queue: 1 for Licenses"),
    ],
)
def test_reasons_for_which_jobs_wait_long_are_named(reason, said):
    assert said in describe([job(reason)])


def test_nothing_is_said_while_a_job_runs_or_none_is_there():
    assert describe([]) is None
    assert describe([job("Priority"), job("None", "RUNNING")]) is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("QOSMaxWallDurationPerJobLimit", "(forever: each asks for more than this"),
        ("AssocMaxWallDurationPerJobLimit", "(forever: each asks for more than this"),
        ("QOSMaxMemoryPerJob", "(forever: each asks for more than this limit"),
        ("MaxMemPerLimit", "(forever: each asks for more than this limit"),
        ("QOSMaxGRESPerUser", "(until other jobs have ended)"),
        ("AssocGrpCpuLimit", "(until other jobs have ended)"),
        (
            "Job's account not permitted to use this partition (a allows b not c)",
            "(forever: choose another)",
        ),
    ],
)
def test_limits_that_no_job_can_meet_are_told_from_those_that_others_use_up(
    reason, said
):
    assert said in describe([job(reason)])


def watched(
    monkeypatch, answers, name="run", n_awaited=lambda: 0, **often
) -> list[str]:
    """The reports while SLURM gives these answers, one after the other."""
    left, said = [*answers], []
    all_given = threading.Event()

    def live_jobs(name):
        assert name == "run"
        if len(left) == 1:
            all_given.set()
            return []
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(waiting, "live_jobs", live_jobs)
    ended = watch(lambda: name, n_awaited, said.append, looks_every_s=0.01, **often)
    all_given.wait(timeout=2 if name else 0.2)
    ended.set()
    return said


def test_a_reason_is_said_again_only_after_long_or_when_it_changed(monkeypatch):
    waits, taken = [job("Priority")], [job("Resources")]
    runs = [job("None", "RUNNING")]
    answers = [waits, waits, waits, taken, taken, runs, taken, []]
    said = watched(monkeypatch, answers)
    reasons = [sentence.split("1 for ")[1].split(" (")[0] for sentence in said]
    assert reasons == ["Priority", "Resources", "Resources"]
    assert len(watched(monkeypatch, [waits] * 10, says_every_s=0.03)) >= 3


def test_no_answer_is_no_end_and_without_a_name_nobody_is_asked(monkeypatch):
    answers = [NoAnswerError("busy"), [job("Priority")], []]
    assert len(watched(monkeypatch, answers)) == 1
    assert watched(monkeypatch, [[job("Priority")], []], name=None) == []


def test_jobs_of_whose_end_slurm_says_nothing_are_told(monkeypatch):
    """A single time may be between their end and the executor's next query."""
    runs = [job("None", "RUNNING")]

    def awaits(*counts):
        left = iter(counts)
        return lambda: next(left, 0)

    assert watched(monkeypatch, [runs, [], runs, []], n_awaited=awaits(2)) == []
    (said,) = watched(monkeypatch, [runs, [], [], []], n_awaited=awaits(2, 2))
    assert said.startswith("squeue no longer lists any of the 2 jobs that this run ")
    assert "sacct --name=run" in said
    assert watched(monkeypatch, [runs, [], [], []]) == []


def test_it_ends_when_it_is_told_to(monkeypatch):
    monkeypatch.setattr(waiting, "live_jobs", lambda name: [])
    ended = watch(lambda: "run", lambda: 0, print, looks_every_s=0.01)
    ended.set()
    time.sleep(0.1)
    assert not [t for t in threading.enumerate() if t.name == "waiting"]
