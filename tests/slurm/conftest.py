"""A cluster, and a study that ran on it although much went wrong."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from slurm.cluster import all_jobs, ask, cluster, why_not
from slurm.study import (
    AP,
    TARGETS,
    UNFINISHED,
    copy_study,
    limit_training_to_a_minute,
    main_process,
    processes,
    recording,
    wait_for,
)
from study_copy import snakemake


@dataclass(frozen=True)
class Outcome:
    """What became of the study on the cluster."""

    workdir: Path
    cancelled: str
    """The ID of the job that was cancelled."""
    tried_again: str
    """The ID of the job that took its place, and ran when the main process was killed.
    """
    jobs: list[dict[str, str]]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment variables by which commands find a running cluster."""
    if reason := why_not():
        pytest.skip(reason)
    # To be terminated is to be interrupted: what was started is stopped.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with cluster(tmp_path_factory.mktemp("cluster") / "slurm") as variables:
            yield variables
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> Path:
    """The study, run to the end on this machine without SLURM."""
    workdir = copy_study(tmp_path_factory.mktemp("local"))
    shown = snakemake(workdir, *TARGETS, "--configfile", "tiny.yaml")
    assert shown.returncode == 0, shown.stdout
    return workdir


@pytest.fixture(scope="session")
def outcome(slurm, tmp_path_factory) -> Outcome:
    """The study, run to the end on the cluster: a job is cancelled, then the main
    process is killed, started too early, and again; then a training runs out of time.
    """
    workdir = copy_study(tmp_path_factory.mktemp("slurm"))
    limit_training_to_a_minute(workdir)
    with main_process(workdir, slurm, "first.out", (AP,)) as first:
        (cancelled, *_) = wait_for(first, lambda: recording(slurm))
        ask(slurm, "scancel", cancelled)
        (tried_again, *_) = wait_for(
            first, lambda: [job for job in recording(slurm) if job != cancelled]
        )
        first.kill()
    snakemake(workdir, *TARGETS, "--configfile", "tiny.yaml", "--unlock")
    # Long enough that it still runs when the study is started again.
    (recorder,) = processes(workdir, "scripts/record_activations.py", "tiny_birds")
    os.kill(recorder, signal.SIGSTOP)
    with main_process(workdir, slurm, "refused.out", TARGETS) as refused:
        refused.wait(timeout=60)
    os.kill(recorder, signal.SIGCONT)
    assert refused.returncode == 1
    wait_for(None, lambda: not ask(slurm, "squeue", "--noheader"))
    with main_process(workdir, slurm, "second.out", TARGETS) as second:
        wait_for(second, (workdir / UNFINISHED).is_file)
        # As a training does that takes longer than its limit, it has not ended by then.
        for training in processes(workdir, "scripts/fit_sae.py"):
            os.kill(training, signal.SIGSTOP)
        second.wait(timeout=900)
    assert second.returncode == 0, (workdir / "second.out").read_text()
    return Outcome(workdir, cancelled, tried_again, all_jobs(slurm))
