"""A cluster, and studies that completed on it despite failures."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from slurm_cluster import all_jobs, ask, cluster, why_not, with_accounting
from slurm_study import (
    AP,
    BY_SACCT,
    BY_SQUEUE,
    QUICK,
    SCENES,
    TARGETS,
    UNFINISHED,
    ask_for,
    copy_for_cluster,
    copy_study,
    main_process,
    on_cluster,
    processes,
    recorders,
    wait_for,
)
from study_copy import copy_project, environment, snakemake

Job = dict[str, str]
"""What SLURM says of a job, by key."""
Run = tuple[subprocess.Popen, Path]
"""A run of a study, and its folder."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of the study on the cluster."""

    workdir: Path
    cancelled: str
    """The ID of the job that was cancelled."""
    running: str
    """The ID of the job that ran when the main process was killed."""
    waiting: str
    """The ID of the job that waited then."""
    queue: str
    """What `make queue` showed then."""
    jobs: dict[str, Job]
    """By ID."""


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
def local_runs(tmp_path_factory) -> Iterator[dict[str, Run]]:
    """Both studies without SLURM, on what the cluster leaves of this machine, by name.

    They run while the cluster does.
    """
    workdir = copy_study(tmp_path_factory.mktemp("local"))
    other = copy_project(tmp_path_factory.mktemp("local_scenes"))
    here = ("nice", "snakemake", "--cores", "1")
    commands = {
        "tiny": (workdir, [*here, *TARGETS, "--configfile", "tiny.yaml"]),
        "tinyscenes": (other, [*here, *SCENES]),
    }
    runs = {}
    try:
        for name, (folder, command) in commands.items():
            with (folder / "said.out").open("w") as said:
                runs[name] = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment(folder),
                    stdout=said,
                    stderr=subprocess.STDOUT,
                )
        yield {name: (run, commands[name][0]) for name, run in runs.items()}
    finally:
        for run in runs.values():
            run.terminate()
            run.wait(timeout=60)


@pytest.fixture(scope="session")
def local(local_runs) -> Path:
    """The study, run to the end on this machine without SLURM."""
    return ended_well(*local_runs["tiny"])


@pytest.fixture(scope="session")
def local_scenes(local_runs) -> Path:
    """The segmentation study, run to the end on this machine without SLURM."""
    return ended_well(*local_runs["tinyscenes"])


def ended_well(run: subprocess.Popen, workdir: Path) -> Path:
    """The folder of a run, after it has ended successfully."""
    assert run.wait(timeout=600) == 0, (workdir / "said.out").read_text()
    return workdir


@pytest.fixture(scope="session")
def outcome(slurm, local_runs, tmp_path_factory) -> Outcome:
    """The study, run to the end on the cluster: a job is cancelled, which accounting
    tells in its own words; then the main process is killed, started too early, on the
    cluster and locally, and again; then a training runs out of time.
    """
    workdir = copy_study(tmp_path_factory.mktemp("slurm"))
    # Nor send the signal early that comes two minutes before the end.
    ask_for(workdir, "fit_sae", runtime=1, slurm_extra="''")
    # One of the two GPUs is taken, so one of two jobs waits.
    asked = ("--partition=nextgen", "--gres=gpu:1", "--mem=100", "--output=/dev/null")
    other = ask(slurm, "sbatch", "--parsable", *asked, "--wrap=sleep 600").strip()
    counted = with_accounting(slurm)
    with main_process(workdir, counted, "first.out", (AP,), BY_SACCT) as first:
        (cancelled,) = wait_for(first, lambda: recorders(slurm, "running"))
        wait_for(first, lambda: recorders(slurm, "pending"))
        ask(slurm, "scancel", cancelled)
        (recorder,) = processes_of_another(workdir, slurm, cancelled)
        # Long enough that it still runs when the study is started again.
        os.kill(recorder, signal.SIGSTOP)
        (running,) = recorders(slurm, "running")
        (waiting,) = wait_for(first, lambda: recorders(slurm, "pending"))
        first.kill()
    queue = shown_by([sys.executable, "scripts/show_queue.py"], workdir, slurm)
    snakemake(workdir, *TARGETS, "--configfile", "tiny.yaml", "--unlock")
    here = ("--profile", "profiles/local", "--configfile", "tiny.yaml")
    for said, how in {"refused.out": (), "refused_here.out": (here,)}.items():
        with main_process(workdir, slurm, said, TARGETS, *how) as refused:
            refused.wait(timeout=60)
        assert refused.returncode == 1
    os.kill(recorder, signal.SIGCONT)
    ask(slurm, "scancel", other)
    wait_for(None, lambda: not ask(slurm, "squeue", "--noheader"))
    with main_process(workdir, slurm, "second.out", TARGETS) as second:
        wait_for(second, lambda: [*(workdir / UNFINISHED).glob("*/index.json")])
        # As a training does that takes longer than its limit, it has not ended by then.
        for training in processes(workdir, "scripts/fit_sae.py"):
            os.kill(training, signal.SIGSTOP)
        second.wait(timeout=900)
    assert second.returncode == 0, (workdir / "second.out").read_text()
    mine = [job for job in all_jobs(slurm) if job["WorkDir"] == str(workdir)]
    jobs = {job["JobId"]: job for job in mine}
    return Outcome(workdir, cancelled, running, waiting, queue, jobs)


def processes_of_another(workdir, slurm, cancelled: str) -> list[int]:
    """The recording process of a job that took a cancelled one's place."""
    wait_for(None, lambda: {*recorders(slurm, "running")} - {cancelled})
    return processes(workdir, "scripts/record_activations.py")


@dataclass(frozen=True)
class Scenes:
    """The outcome of the segmentation study."""

    workdir: Path
    start: Job
    """The job that started the others."""
    jobs: list[Job]
    planned: str
    """What `make plan` said before."""


@pytest.fixture(scope="session")
def scenes(slurm, outcome, tmp_path_factory) -> Scenes:
    """The segmentation study, started by a job with one core."""
    workdir = copy_for_cluster(tmp_path_factory.mktemp("scenes"))
    plan = ("scripts/plan_study.py", "tiny_scenes.yaml")
    planned = shown_by([sys.executable, *plan], workdir, slurm)
    start = [
        *("sbatch", "--wait", "--parsable", "--cpus-per-task=1", "--mem=2G"),
        *("profiles/slurm/start.sh", *SCENES, *QUICK, *BY_SQUEUE),
    ]
    number = shown_by(start, workdir, slurm).strip()
    mine = [job for job in all_jobs(slurm) if job["WorkDir"] == str(workdir)]
    (first,) = (job for job in mine if job["JobId"] == number)
    return Scenes(workdir, first, [job for job in mine if job != first], planned)


def shown_by(command: list[str], workdir: Path, slurm: dict[str, str]) -> str:
    """The output of a successful command."""
    shown = subprocess.run(
        command,
        cwd=workdir,
        env=on_cluster(workdir, slurm),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    logs = [log.read_text() for log in workdir.glob("vitproto-*.log")]
    assert shown.returncode == 0, "".join([shown.stdout, *logs])
    return shown.stdout
