"""Small studies with every kind of job, and how to run them on the cluster."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from slurm_cluster import ask
from study_copy import copy_project, environment

TARGETS = (
    "results/tiny/map_table.md",
    "results/tiny/sae_table.md",
    "results/tiny/tiny-vit/layer3/kmeans/features/k4-seed0",
)
AP = "results/tiny/tiny-vit/layer3/random/ap.csv"
SCENES = ("--configfile", "tiny_scenes.yaml")
UNFINISHED = "results/tiny/tiny-vit/layer3/topk/unfinished"
EVENT_WITHIN_S = 300
# This cluster has no accounting.
BY_SQUEUE = ("--slurm-status-command", "squeue")
# It answers at once.
QUICK = ("--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "2")
BY_SACCT = (
    *("--profile", "profiles/slurm", "--configfile", "tiny.yaml", "--jobs", "4"),
    *("--group-components", "record=2", *QUICK),
)
ON_SLURM = (*BY_SACCT, *BY_SQUEUE)


# The plugin looks at its jobs less and less often while none ends.
LOOKS_OFTEN = """
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda _, s: None)
"""


def copy_for_cluster(folder: Path) -> Path:
    """A copy of the project that checks its jobs every two seconds."""
    workdir = copy_project(folder)
    with (workdir / "Snakefile").open("a") as file:
        file.write(LOOKS_OFTEN)
    return workdir


def copy_study(folder: Path) -> Path:
    """The tiny study, with fewer runs, and a training that takes some seconds."""
    workdir = copy_for_cluster(folder)
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    study["encoders"]["tiny-vit"]["layers"] = [3]
    study["methods"]["saes"]["topk"]["n_patches"] = 250_000
    study["how"]["save_every_s"] = 1
    row = {"encoder": "tiny-vit", "layer": 3, "seed": 0}
    study["runs"] = [
        {**row, "method": ["random", "kmeans"], "n_prototypes": 4},
        {
            **{**row, "method": "topk", "exp_factor": 1},
            **{"learning_rate": 0.001, "sparsity": 8},
        },
    ]
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    return workdir


def ask_for(workdir: Path, rule: str, **resources: int | str) -> None:
    """Set a rule's resources in the profile."""
    path = workdir / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-resources"].setdefault(rule, {}).update(resources)
    path.write_text(yaml.safe_dump(profile))


@contextmanager
def main_process(
    workdir: Path,
    slurm: dict[str, str],
    said: str,
    targets: tuple[str, ...],
    how: tuple[str, ...] = ON_SLURM,
) -> Iterator[subprocess.Popen]:
    """Run the study on the cluster, or a part of it."""
    with (
        (workdir / said).open("w") as file,
        subprocess.Popen(
            ["snakemake", *targets, *how],
            cwd=workdir,
            env=on_cluster(workdir, slurm),
            stdout=file,
            stderr=subprocess.STDOUT,
            # Also where the tests run in the background, and so ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def on_cluster(workdir: Path, slurm: dict[str, str]) -> dict[str, str]:
    """Variables with which commands find this Python first, then the cluster."""
    python = environment(workdir)["PATH"].split(os.pathsep)[0]
    path = f"{python}{os.pathsep}{slurm['PATH']}"
    return {**environment(workdir), **slurm, "PATH": path}


def wait_for(process: subprocess.Popen | None, event: Callable[[], object]):
    """Wait until an event is true, and return its value."""
    ends = time.monotonic() + EVENT_WITHIN_S
    while not (found := event()):
        assert process is None or process.poll() is None, "it ended too early"
        assert time.monotonic() < ends, "it takes too long"
        time.sleep(0.2)
    return found


def recorders(slurm: dict[str, str], state: str) -> list[str]:
    """The IDs of jobs in a state that record activations."""
    asked = ("--noheader", f"--states={state}", "--format=%i %k")
    return re.findall(r"(\d+) rule_record_record", ask(slurm, "squeue", *asked))


def processes(workdir: Path, *words: str) -> list[int]:
    """Wait for processes in a folder with these words in their commands."""
    return wait_for(None, lambda: list(_processes(workdir, {*words})))


def _processes(workdir: Path, words: set[str]) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode().split("\0")
            here = (process / "cwd").readlink() == workdir
        except OSError:
            continue  # it has just ended
        if here and words <= {*command}:
            yield int(process.name)
