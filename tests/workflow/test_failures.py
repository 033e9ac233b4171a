"""What goes wrong is said in a sentence, at the end, with the place to look at."""

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


@pytest.mark.parametrize("profile", ["default", "none"])
def test_the_last_lines_of_a_failed_job_s_log_are_the_last_that_is_said(
    workdir, profile
):
    stage = workdir / "scripts/list_cub200.py"
    talk = 'for i in range(100):\n    print("word", i, flush=True)\n'
    stage.write_text(stage.read_text().replace("if __name__", f"{talk}\nif __name__"))
    cores = ("--cores", "1", "--workflow-profile", "none")
    shown = snakemake(workdir, *LIST, *(cores if profile == "none" else ()))
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
    (complete,) = re.findall(r"All that was said: (.*)", shown.stdout)
    assert last in (workdir / complete).read_text()


def test_a_partition_that_the_cluster_lacks_stops_a_run_before_its_first_job(
    workdir, monkeypatch
):
    folder = workdir / "bin"
    folder.mkdir()
    for name in ("sbatch", "sinfo", "squeue", "sacct", "scontrol"):
        (folder / name).write_text("#!/bin/sh\necho elsewhere\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    shown = snakemake(workdir, *ON_SLURM)
    assert shown.returncode != 0
    profile = (workdir / "profiles/slurm/config.yaml").read_text().splitlines()
    (line,) = (
        i for i, line in enumerate(profile, 1) if line.startswith("  slurm_partition")
    )
    assert shown.stdout.endswith(
        "\nError: this cluster has no partition cpu, but elsewhere: change "
        f"slurm_partition in profiles/slurm/config.yaml, line {line}\n"
    )
    assert "Error in rule" not in shown.stdout
    assert "File " not in shown.stdout.rsplit("Job stats:", 1)[1]
    assert snakemake(workdir, *ON_SLURM, "-n").returncode == 0


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
