"""The end of a run with failed jobs: their names, reasons, logs, and ends of logs."""

import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from vitproto.freshness import origins
from vitproto.launch.failures import Errors, Failure, describe, last_lines

FURTHER = (
    " For further error details see the cluster/cloud log and the log files of the "
    "involved rule(s)."
)
SLURM_SAYS = f"SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.{FURTHER}"
TIMEOUT = (
    "SLURM's job 7 ended with TIMEOUT: it ran out of time. If it makes progress, run "
    "the same command again; otherwise write fit_sae: {runtime: MINUTES} under "
    "set-resources in profiles/slurm/config.yaml"
)
OUT_OF_MEMORY = (
    "it ran out of memory: write fit_sae: {mem_mb: MEGABYTES} under set-resources in "
    "profiles/slurm/config.yaml"
)


class Job(SimpleNamespace):
    """The used part of Snakemake's job."""

    __hash__ = object.__hash__


def job(jobid: int, *logs: Path) -> Job:
    """A job that trains autoencoders."""
    return Job(
        jobid=jobid,
        rule=SimpleNamespace(name="fit_sae"),
        wildcards={"layer": str(jobid)},
        output=[f"fit_sae-{jobid}.h5"],
        log=[str(log) for log in logs],
        is_group=lambda: False,
    )


def fail(errors: Errors, failed: Job, message: str | None, *more: Path):
    """Emit Snakemake's record of a failed job."""
    record = logging.makeLogRecord(
        {
            "event": LogEvent.JOB_ERROR,
            "jobid": failed.jobid,
            "rule_msg": message,
            "log": [*failed.log, *map(str, more)],
        }
    )
    errors.handle(record)


@pytest.fixture
def log(tmp_path) -> Path:
    file = tmp_path / "fit_sae.log"
    file.write_text("".join(f"step {i}\n" for i in range(10_000)) + "fit_sae: no\n")
    return file


def test_the_last_lines_are_few_however_long_the_log(log):
    expected = [*(f"step {i}" for i in range(9_971, 10_000)), "fit_sae: no"]
    assert last_lines(log) == expected


def test_of_a_bar_that_was_redrawn_the_last_state_counts(log):
    log.write_bytes(b"start\n10 %\r20 %\r30 %\r\nthe \xff end\r\n\n")
    assert last_lines(log) == ["start", "30 %", "the \ufffd end"]


def test_an_empty_or_missing_log_has_no_lines(log):
    log.write_text("\n\n")
    assert last_lines(log) == []
    assert last_lines(log.with_name("none.log")) == []


def test_the_sentence_of_a_stage_comes_last_and_slurm_s_reason_before(log, tmp_path):
    slurm = tmp_path / "7.log"
    slurm.write_text("much that Snakemake said\n")
    errors, failed = Errors(), job(3, log)
    fail(errors, failed, "an earlier try")
    fail(errors, failed, SLURM_SAYS, slurm)
    lines = describe(errors.failures({failed}), ["all.log"]).splitlines()
    assert lines[:6] == [
        "1 job failed. Full log: all.log",
        "",
        "fit_sae layer=3 failed.",
        TIMEOUT,
        f"See also {slurm}",
        f"The last lines of {log}:",
    ]
    assert lines[-1] == "fit_sae: no"
    assert len(lines) == 6 + 30


def test_where_nothing_says_why_the_log_of_slurm_is_shown(log, tmp_path):
    slurm = tmp_path / "7.log"
    slurm.write_text("slurmstepd: error: no space left\n")
    log.write_text("")
    errors, failed = Errors(), job(3, log)
    fail(errors, failed, "SLURM-job '7' failed, SLURM status is: 'FAILED'.", slurm)
    lines = describe(errors.failures({failed}), ["all.log"]).splitlines()
    assert lines[3:] == [
        "SLURM's job 7 ended with FAILED",
        f"Empty log: {log}",
        f"The last lines of {slurm}:",
        "slurmstepd: error: no space left",
    ]


def test_where_slurm_says_why_its_log_is_only_named(log, tmp_path):
    slurm = tmp_path / "7.log"
    slurm.write_text("much that Snakemake said\n")
    log.write_text("")
    errors, failed = Errors(), job(3, log)
    fail(errors, failed, SLURM_SAYS, slurm)
    lines = describe(errors.failures({failed}), ["all.log"]).splitlines()
    assert lines[3:] == [TIMEOUT, f"Empty log: {log}", f"See also {slurm}"]


def test_the_log_of_an_earlier_run_is_not_shown(log):
    os.utime(log, (1e9, 1e9))
    errors, failed = Errors(), job(3, log)
    fail(errors, failed, "SLURM sbatch failed.\n    sbatch call:\n  sbatch --parsable")
    (failure,) = errors.failures({failed})
    assert failure == Failure("fit_sae layer=3", (), "SLURM sbatch failed.")
    assert describe([failure], []).endswith("failed.\nSLURM sbatch failed.")


def test_failures_come_in_their_order_and_what_was_tried_again_does_not(log):
    errors, jobs = Errors(), [job(i, log) for i in range(3)]
    for i in (2, 0, 1):
        fail(errors, jobs[i], None)
    fail(errors, jobs[2], None)
    failures = errors.failures({jobs[1], jobs[2]})
    assert [failure.name for failure in failures] == [
        "fit_sae layer=1",
        "fit_sae layer=2",
    ]


def test_of_many_failures_the_last_are_shown_and_the_others_named(log):
    failures = [Failure(f"job{i}", (log,)) for i in range(8)]
    text = describe(failures, ["all.log"])
    assert text.startswith("8 jobs failed.")
    for i in range(3):
        assert f"\njob{i}: {log}\n" in text
    assert text.count("The last lines of") == 5
    assert text.index("job3 failed.") < text.index("job7 failed.")


def reason(said: str, **noted) -> str:
    """The reason shown for a message of SLURM's executor."""
    errors, failed = Errors(), job(3)
    fail(errors, failed, None)
    errors.note(failed, said, [], **noted)
    (failure,) = errors.failures({failed})
    return failure.reason


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("TIMEOUT", TIMEOUT),
        ("OUT_OF_MEMORY", f"SLURM's job 7 ended with OUT_OF_MEMORY: {OUT_OF_MEMORY}"),
        (
            "CANCELLED",
            "SLURM's job 7 ended with CANCELLED: it was cancelled or preempted. Run "
            "the same command again",
        ),
        ("FAILED", "SLURM's job 7 ended with FAILED"),
    ],
)
def test_each_of_slurm_s_states_has_a_sentence_that_says_what_to_do(status, sentence):
    said = f"SLURM-job '7' failed, SLURM status is: '{status}'. Reason: Unknown."
    assert reason(said) == reason(said + FURTHER) == sentence


def test_a_node_that_failed_has_a_sentence_too():
    said = (
        "SLURM-job '7' failed due to a node failure, SLURM status is: 'NODE_FAIL'. "
        "Failed nodes will be excluded from future job submissions."
    )
    assert reason(said) == (
        "SLURM's job 7 ended with NODE_FAIL: its node failed. Run the same command "
        "again"
    )


def test_a_job_that_was_killed_for_its_memory_is_told_so_if_slurm_does_not():
    said = "SLURM-job '7' failed, SLURM status is: 'FAILED'. Reason: Unknown."
    expected = f"SLURM's job 7 ended with FAILED: {OUT_OF_MEMORY}"
    assert reason(said, short_of_memory=True) == expected


def test_a_refused_submission_says_what_slurm_said_and_not_the_command():
    said = (
        "SLURM sbatch failed. The error message was 'sbatch: error: Invalid account "
        "'poor'\nsbatch: error: no'.\n    sbatch call:\n        sbatch --parsable -x\n"
    )
    assert reason(said + FURTHER) == (
        "SLURM rejected it: sbatch: error: Invalid account 'poor' sbatch: error: no"
    )


def test_of_a_limit_of_submissions_it_is_said_what_to_lower():
    said = (
        "SLURM sbatch failed. The error message was 'sbatch: error: QOSMaxSubmitJob"
        "PerUserLimit'.\n    sbatch call:\n        sbatch --parsable -x\n"
    )
    assert reason(said) == (
        "SLURM rejected it: sbatch: error: QOSMaxSubmitJobPerUserLimit: lower `jobs` "
        "in profiles/slurm/config.yaml below your submission limit, and run the same "
        "command again"
    )


def test_of_a_group_the_member_that_failed_is_named(monkeypatch):
    """Its results have no origin note; those of the others have."""
    noted = {Path("fit_sae-1.h5")}
    monkeypatch.setattr(origins, "read", lambda file: file in noted or None)
    first, second = job(1), job(2)
    second.rule = SimpleNamespace(name="fit_pca")
    group = Job(jobs=[first, second], is_group=lambda: True)
    errors = Errors()
    for member in group.jobs:
        fail(errors, member, None)
        errors.note(member, SLURM_SAYS, [])
    (failure,) = errors.failures({group})
    assert failure.name == "fit_pca layer=2"
    assert "write fit_pca: {runtime: MINUTES} under set-resources" in failure.reason
    # Where all have notes, none is left out.
    noted.add(Path("fit_sae-2.h5"))
    assert len(errors.failures({group})) == 2


def test_an_empty_log_on_a_full_disk_says_so(tmp_path, monkeypatch):
    log = tmp_path / "fit_sae.log"
    log.touch()
    usage = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    failure = Failure("fit_sae layer=3", (log,))
    assert f"there is no room left on its disk: {log}" in describe([failure], [])
    usage.free = 10**9
    assert f"Empty log: {log}" in describe([failure], [])
