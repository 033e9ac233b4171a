"""A failed run ends with the cause and the path of the log."""

import os
import re

import pytest
import yaml
from study_copy import copy_project, snakemake

LIST = ("results/data/tiny_birds.images.csv", "--configfile", "tiny.yaml")
ON_SLURM = ("--profile", "profiles/slurm", *LIST)


@pytest.fixture
def workdir(tmp_path):
    """The tiny study, but its birds are to lie in a folder that holds none."""
    workdir = copy_project(tmp_path)
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    study["datasets"]["tiny_birds"] = {
        **{"layout": "cub200", "root": "birds", "n_images": 72, "n_shards": 2}
    }
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    (workdir / "birds").mkdir()
    return workdir


@pytest.mark.parametrize("how", [(), ("--cores", "1")], ids=["profile", "none"])
def test_the_last_lines_of_a_failed_job_s_log_are_the_last_that_is_said(workdir, how):
    stage = workdir / "scripts/list_cub200.py"
    talk = 'for i in range(100):\n    print("word", i, flush=True)\n'
    stage.write_text(stage.read_text().replace("if __name__", f"{talk}\nif __name__"))
    shown = snakemake(workdir, *LIST, *how)
    assert shown.returncode != 0
    log = "results/logs/list_cub200/tiny_birds.log"
    _, words = shown.stdout.split(f"\nThe last lines of {log}:\n")
    *before, last = words.splitlines()
    assert last.startswith("list_cub200: birds holds no CUB-200-2011, looked for: ")
    assert before == [f"word {i}" for i in range(71, 100)]
    assert shown.stdout.count("word 99") == 1
    assert "word 70" not in shown.stdout
    assert "list_cub200 dataset=tiny_birds failed." in shown.stdout
    assert "Traceback" not in shown.stdout
    (complete,) = re.findall(r"Full log: (.*)", shown.stdout)
    assert last in (workdir / complete).read_text()


@pytest.mark.parametrize(
    ("number", "cause"),
    [(9, "9 (SIGKILL), often for lack of memory"), (15, "15 (SIGTERM)")],
)
def test_the_signal_that_killed_a_stage_is_the_last_that_is_said(
    workdir, number, cause
):
    """The system's out-of-memory killer sends SIGKILL too."""
    stage = workdir / "scripts/list_cub200.py"
    dies = f"import os\n\nos.kill(os.getpid(), {number})\n"
    stage.write_text(stage.read_text().replace("if __name__", f"{dies}\nif __name__"))
    shown = snakemake(workdir, *LIST)
    assert shown.returncode != 0
    log = "results/logs/list_cub200/tiny_birds.log"
    assert shown.stdout.endswith(
        "\nlist_cub200 dataset=tiny_birds failed.\n"
        f"The last lines of {log}:\nlist_cub200: killed by signal {cause}\n"
    )


@pytest.fixture
def cluster(workdir, monkeypatch):
    """Programs of SLURM that know of one partition, `cpu`, of at most 12 hours."""
    folder = workdir / "bin"
    folder.mkdir()
    answers = {
        "sbatch": 'case "$*" in *--test-only*) ;; *) exit 1;; esac',
        "sinfo": 'case "$*" in *%R*) echo "cpu 1000000";; *) echo idle;; esac',
        "scontrol": "echo PartitionName=cpu Default=YES MaxTime=12:00:00 State=UP",
        **{"squeue": "", "sacct": "", "sacctmgr": "", "sshare": ""},
    }
    for name, answer in answers.items():
        (folder / name).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def edit_profile(workdir, old: str, new: str) -> int:
    """Change a line of the profile for SLURM; its number."""
    path = workdir / "profiles/slurm/config.yaml"
    lines = path.read_text().splitlines()
    (i_line,) = (i for i, line in enumerate(lines) if line.startswith(old))
    lines[i_line] = new
    path.write_text("\n".join(lines))
    return i_line + 1


DRAW = ("results/data/tiny_corpus", "--configfile", "tiny.yaml")


def test_a_partition_that_the_cluster_lacks_stops_a_run_before_its_first_job(
    workdir, cluster
):
    line = edit_profile(workdir, "  slurm_partition: cpu", "  slurm_partition: other")
    on_slurm = (*DRAW, "--profile", "profiles/slurm")
    shown = snakemake(workdir, *on_slurm)
    assert shown.returncode != 0
    assert shown.stdout.endswith(
        "\nError: this cluster has no partition other, only cpu: change "
        f"slurm_partition in profiles/slurm/config.yaml, line {line}\n"
    )
    assert "Error in rule" not in shown.stdout
    assert "File " not in shown.stdout.rsplit("Job stats:", 1)[1]
    assert snakemake(workdir, *on_slurm, "-n").returncode == 0


def test_an_expression_is_asked_for_at_each_try_and_named_with_its_line(
    workdir, cluster
):
    line = edit_profile(
        workdir,
        "  record_activations: &gpu",
        "  draw_demo_corpus: {runtime: 300 * attempt}\n  record_activations: &gpu",
    )
    shown = snakemake(workdir, *DRAW, "--profile", "profiles/slurm")
    assert shown.stdout.endswith(
        "\nError: jobs of draw_demo_corpus ask for 900 minutes, but the partition cpu "
        f"allows 720: change runtime in profiles/slurm/config.yaml, line {line}\n"
    )


def test_arrays_are_refused_because_their_members_wait_for_one_another(
    workdir, cluster
):
    arrays = ("--slurm-array-jobs", "record_activations")
    shown = snakemake(workdir, *DRAW, "--profile", "profiles/slurm", *arrays)
    assert "Error: slurm-array-jobs does not work" in shown.stdout
    assert "Use groups instead" in shown.stdout.splitlines()[-1]


def test_a_missing_plugin_is_named(workdir):
    """Python reads sitecustomize first, also in the process of Snakemake."""
    (workdir / "sitecustomize.py").write_text(
        "import pkgutil\n"
        "every = pkgutil.iter_modules\n"
        "pkgutil.iter_modules = lambda *args: (\n"
        "    module for module in every(*args) if 'plugin_slurm' not in module.name\n"
        ")\n"
    )
    shown = snakemake(workdir, *ON_SLURM, "-n")
    assert shown.returncode != 0
    last = shown.stdout.splitlines()[-1]
    assert "argument --executor/-e: invalid choice: 'slurm'" in last
    assert "Traceback" not in shown.stdout
    profile = (workdir / "profiles/slurm/config.yaml").read_text()
    assert "If --executor says invalid choice: 'slurm', the plugin is" in profile
    assert snakemake(workdir, *LIST, "-n").returncode == 0
