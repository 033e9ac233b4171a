"""What a study will cost is planned, and what it took is tabulated."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from study_copy import copy_project, find, snakemake

from vitproto.core.device_memory import to_line
from vitproto.planning.jobs import study_jobs
from vitproto.planning.plan import by_stage, written_by
from vitproto.study.read_study import read_study

TABLE = "results/tiny/cost_table.md"
STUDIES = [
    *(f"config/{name}.yaml" for name in ("config", "demo", "ade20k", "demo_scenes")),
    *("tiny.yaml", "tiny_scenes.yaml"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The project as it comes, in a folder without data or results."""
    return copy_project(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def costed(finished, tmp_path_factory) -> Path:
    """The finished tiny study with its table of costs. Only to be read."""
    workdir = tmp_path_factory.mktemp("costed") / "copy"
    shutil.copytree(finished, workdir)
    shown = snakemake(workdir, "all", "--configfile", "tiny.yaml")
    assert shown.returncode == 0, shown.stdout
    return workdir


def counts(output: str) -> dict[str, int]:
    """The last table of jobs, without what is not planned."""
    table = output.rsplit("Job stats:", 1)[1].split("\n\n")[0]
    found = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    return {
        name: n
        for name, n in found.items()
        if name not in ("all", "total", "tabulate_cost")
    }


def measured(workdir: Path) -> pd.DataFrame:
    return pd.read_csv(workdir / "results/tiny/cost_table.csv").set_index("stage")


@pytest.mark.parametrize("study", STUDIES)
def test_the_planned_jobs_are_those_that_snakemake_shows(project, study):
    shown = snakemake(project, "all", "-n", "--configfile", study)
    assert shown.returncode == 0, shown.stdout
    config = read_study(project / study)
    planned = {cost.stage: cost.n_jobs for cost in by_stage(study_jobs(config), config)}
    assert planned == counts(shown.stdout)


def test_planned_bytes_are_those_of_the_files(costed):
    config = yaml.safe_load((costed / "tiny.yaml").read_text())
    jobs = study_jobs(config)
    planned = written_by(jobs, config)

    def n_bytes(pattern: str) -> int:
        return sum(file.stat().st_size for file in costed.glob(pattern))

    shards = n_bytes("results/activations/**/*.h5")
    assert sum(w.activations for w in planned) == pytest.approx(shards, rel=0.01)
    scores = sum(w.scores for w in planned)
    assert scores == pytest.approx(n_bytes("results/scores/**/scores.h5"), rel=0.2)
    selected = sum(
        w.results for w, job in zip(planned, jobs, strict=True) if "select" in job.stage
    )
    kept = n_bytes("results/tiny/**/chosen_scores.h5") + n_bytes(
        "results/tiny/**/ap.csv"
    )
    assert 0.8 * selected < kept < 1.1 * selected
    # Small prototypes: headers count for more than their weights.
    n_files = len(list(costed.glob("results/checkpoints/**/*.safetensors")))
    headers = n_bytes("results/checkpoints/**/*.safetensors") - sum(
        w.checkpoints for w in planned
    )
    assert 0 < headers < 2000 * n_files


def test_planned_memory_is_what_jobs_took_within_a_factor_of_two(costed):
    config = yaml.safe_load((costed / "tiny.yaml").read_text())
    took = measured(costed)
    n_compared = 0
    for cost in by_stage(study_jobs(config), config):
        ratio = cost.memory / 2**20 / took.memory_mb[cost.stage]
        assert ratio > 0.5, (cost.stage, ratio)
        # Memory is looked at twice a second: a shorter job's peak may go unseen.
        if took.longest_seconds[cost.stage] > 2:
            assert ratio < 2, (cost.stage, ratio)
            n_compared += 1
    assert n_compared >= 5


def test_the_table_has_each_stage_with_all_its_jobs(costed):
    table = measured(costed)
    assert table.n_jobs["record_activations"] == 3
    assert table.n_jobs["select_prototypes"] == 8
    assert (table.n_without_record == 0).all()
    assert (table.seconds >= table.longest_seconds).all()
    assert (table.longest_seconds >= table.median_seconds).all()
    # Of a job of a few tenths of a second only the shell may be seen.
    seen = table.memory_mb[table.longest_seconds > 2]
    assert len(seen) >= 5
    assert seen.between(20, 4000).all()
    assert (table.memory_mb > 0).all()
    assert table.device_memory_mb.isna().all()
    text = (costed / TABLE).read_text()
    assert "Each of them has a record" in text
    row = next(line for line in text.splitlines() if "| record_activations" in line)
    assert row.endswith("– |")


def test_a_record_that_is_gone_is_counted_and_reruns_nothing(costed, tmp_path):
    workdir = tmp_path / "copy"
    shutil.copytree(costed, workdir)
    for rule in ("fit_pca.tsv", "score_images-*.tsv"):
        next(workdir.glob(f"results/logs/tiny/**/pca/{rule}")).unlink()
    log = next(workdir.glob("results/logs/tiny/**/topk/fit_sae.log"))
    log.write_text(log.read_text() + to_line(3 * 2**30) + "\n")
    target = (TABLE, "--configfile", "tiny.yaml")
    shown = snakemake(workdir, *target, "-n")
    assert "Nothing to be done" in shown.stdout
    shown = snakemake(workdir, *target, "--forcerun", "tabulate_cost")
    assert shown.returncode == 0, shown.stdout
    assert counts(shown.stdout) == {}
    table = measured(workdir)
    assert table.n_without_record.sum() == 2
    assert table.n_without_record["score_images"] == 1
    assert table.device_memory_mb["fit_sae"] == 3 * 1024
    text = (workdir / TABLE).read_text()
    assert "2 of them have no record and are not in these numbers" in text
    assert "(fit_pca 1, score_images 1)" in text
    assert " 3.0 GB |" in text


def leave_free(project: Path, n_bytes: int) -> None:
    """Fill the disk, as far as processes in this folder can tell.

    Python reads sitecustomize first, also in the process of Snakemake.
    """
    (project / "sitecustomize.py").write_text(
        "import collections, shutil\n"
        "usage = collections.namedtuple('usage', 'total used free')\n"
        f"shutil.disk_usage = lambda path: usage(10**12, 0, {n_bytes})\n"
    )


def test_a_disk_that_is_too_small_stops_a_run_before_its_first_job(tmp_path):
    project = copy_project(tmp_path)
    leave_free(project, 10**6)
    shown = snakemake(project, "all", "-n", "--configfile", "tiny.yaml")
    assert shown.returncode == 0, shown.stdout
    shown = snakemake(project, "all", "--configfile", "tiny.yaml")
    assert shown.returncode != 0
    assert "a disk is too small: jobs write " in shown.stdout
    assert re.search(r"[\d.]+ MB to results/activations", shown.stdout)
    assert "but only 1 MB are free there: " in shown.stdout
    assert "steps" not in shown.stdout
    assert not (project / "results").exists()


def test_a_file_that_is_made_again_needs_little_more_room(workdir):
    """A shard of 600 kB, with 100 kB free."""
    leave_free(workdir, 100_000)
    shard = find(workdir, "results/activations/tiny_birds/*/*/shard-00000-of-00002.h5")
    command = (shard, "--configfile", "tiny.yaml")
    shown = snakemake(workdir, *command, "--forcerun", "record_activations")
    assert shown.returncode == 0, shown.stdout
    assert "1 of 1 steps" in shown.stdout
    (workdir / shard).unlink()
    shown = snakemake(workdir, *command)
    assert shown.returncode != 0
    assert "jobs write 608 kB to results/activations, but only 100 kB" in shown.stdout
    assert "set storage: activations to a folder on a larger one" in shown.stdout
