"""What is said of failed jobs: their names, reasons, logs, and how these end."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from vitproto.study.failures import Errors, Failure, describe, last_lines

SLURM_SAYS = (
    "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. For further error details see "
    "the cluster/cloud log and the log files of the involved rule(s)."
)


class Job(SimpleNamespace):
    """As much of a job of Snakemake as is looked at."""

    __hash__ = object.__hash__


def job(jobid: int, *logs: Path) -> Job:
    """A job that trains autoencoders."""
    return Job(
        jobid=jobid,
        rule=SimpleNamespace(name="fit_sae"),
        wildcards={"layer": str(jobid)},
        log=[str(log) for log in logs],
        is_group=lambda: False,
    )


def fail(errors: Errors, failed: Job, message: str | None, *more: Path):
    """Let Snakemake say that a job failed."""
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
        "1 job failed. All that was said: all.log",
        "",
        "fit_sae layer=3 failed.",
        "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.",
        f"See also {slurm}",
        f"The last lines of {log}:",
    ]
    assert lines[-1] == "fit_sae: no"
    assert len(lines) == 6 + 30


def test_where_a_stage_said_nothing_the_log_of_slurm_is_shown(log, tmp_path):
    slurm = tmp_path / "7.log"
    slurm.write_text("slurmstepd: error: Detected 1 oom-kill event\n")
    log.write_text("")
    errors, failed = Errors(), job(3, log)
    fail(errors, failed, SLURM_SAYS, slurm)
    lines = describe(errors.failures({failed}), ["all.log"]).splitlines()
    assert lines[4:] == [
        f"There is nothing in {log}",
        f"The last lines of {slurm}:",
        "slurmstepd: error: Detected 1 oom-kill event",
    ]


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
