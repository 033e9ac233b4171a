"""What a study will cost is planned, and what it took is tabulated."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from study_copy import copy_project, environment, find, snakemake

from vitproto.core.device_memory import to_line
from vitproto.core.project import PROJECT
from vitproto.launch.dry_run import dry_run
from vitproto.planning.costs.job import PlannedJob
from vitproto.planning.costs.sizes import N_TRAITS
from vitproto.planning.plan import by_stage, written_by

TABLE = "results/tiny/cost_table.md"


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


@pytest.fixture(scope="module")
def planned() -> list[PlannedJob]:
    """The jobs of the tiny study."""
    return dry_run(PROJECT / "tests/workflow/tiny.yaml", PROJECT).planned


def counts(output: str) -> dict[str, int]:
    """The last table of jobs, without the rule that only gathers results."""
    table = output.rsplit("Job stats:", 1)[1].split("\n\n")[0]
    found = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    return {name: n for name, n in found.items() if name not in ("all", "total")}


def plan(workdir: Path, study: str) -> str:
    """What `make plan` prints."""
    shown = subprocess.run(
        [sys.executable, "scripts/plan_study.py", study],
        **{"cwd": workdir, "env": environment(workdir)},
        **{"capture_output": True, "text": True},
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def rows(markdown: str) -> dict[str, list[str]]:
    """The rows of a table, by their first cells."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: others for name, *others in cells[2:]}


def measured(workdir: Path) -> pd.DataFrame:
    return pd.read_csv(workdir / "results/tiny/cost_table.csv").set_index("stage")


@pytest.mark.parametrize("study", ["config/config.yaml", "config/ade20k.yaml"])
def test_the_plan_lists_the_jobs_that_a_dry_run_shows(project, study):
    shown = snakemake(project, "all", "-n", "--configfile", study)
    assert shown.returncode == 0, shown.stdout
    table = rows(plan(project, study))
    jobs = {name: int(cells[0]) for name, cells in table.items()}
    assert jobs.pop("all") == sum(jobs.values())
    assert jobs == counts(shown.stdout)


def test_a_profile_decides_which_jobs_ask_for_the_memory_of_cuda(project):
    profile = ("score_images:gpu=0", "fit_sae:gpu=1 if wildcards.layer == '3' else 0")
    shown = snakemake(
        *(project, "all", "-n", "--configfile", "tiny.yaml"),
        *("--set-resources", *profile),
    )
    assert shown.returncode == 0, shown.stdout
    asked = {"record_activations": set(), "score_images": set(), "fit_sae": set()}
    for job in re.findall(r"^rule (\w+):\n((?:    .*\n)+)", shown.stdout, re.M):
        if job[0] in asked:
            layer = re.search(r"layer=(\d+)", job[1])
            memory_mb = int(re.search(r"mem_mb=(\d+)", job[1])[1])
            asked[job[0]].add((layer and layer[1], memory_mb > 6000))
    assert asked["record_activations"] == {(None, True)}
    assert {has_cuda for _, has_cuda in asked["score_images"]} == {False}
    assert asked["fit_sae"] == {(layer, layer == "3") for layer, _ in asked["fit_sae"]}


def test_planned_bytes_are_those_of_the_files(costed, planned):
    config = yaml.safe_load((costed / "tiny.yaml").read_text())
    written = written_by(planned, config)

    def n_bytes(pattern: str) -> int:
        return sum(file.stat().st_size for file in costed.glob(pattern))

    shards = n_bytes("results/activations/**/*.h5")
    assert sum(w.activations for w in written) == pytest.approx(shards, rel=0.01)
    scores = sum(w.scores for w in written)
    assert scores == pytest.approx(n_bytes("results/scores/**/*.h5"), rel=0.2)
    # Rows of comparisons are of the traits that a test image shows, and shorter than
    # planned where there are no intervals.
    shown = pd.read_csv(costed / "results/tiny/map_table.csv").n_traits[0] / N_TRAITS
    for rule, names, least, most in (
        ("select_prototypes", ("chosen_scores.h5", "ap.csv"), 0.8, 1.1),
        ("permute_labels", ("null.csv",), 0.8, 1.1),
        ("probe_traits", ("ceiling_scores.h5", "ceiling.csv"), 0.8, 1.1),
        ("compare_methods", ("*_intervals.csv", "*_pairs.csv"), 0.6 * shown, shown),
    ):
        expected = sum(
            w.results
            for w, job in zip(written, planned, strict=True)
            if job.rule == rule
        )
        kept = sum(n_bytes(f"results/tiny/**/{name}") for name in names)
        assert least * expected < kept < most * expected, (rule, kept, expected)
    # Small prototypes: headers count for more than their weights.
    n_files = len(list(costed.glob("results/checkpoints/**/*.safetensors")))
    headers = n_bytes("results/checkpoints/**/*.safetensors") - sum(
        w.checkpoints for w in written
    )
    assert 0 < headers < 2000 * n_files


def test_planned_memory_is_what_jobs_took_within_a_factor_of_two(costed, planned):
    config = yaml.safe_load((costed / "tiny.yaml").read_text())
    took = measured(costed)
    n_compared = 0
    for cost in by_stage(planned, config):
        if cost.stage == "tabulate_cost":  # its record would be of itself
            continue
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
    assert table.n_jobs["permute_labels"] == 8
    assert table.n_jobs["probe_traits"] == table.n_jobs["compare_methods"] == 2
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
    assert counts(shown.stdout) == {"tabulate_cost": 1}
    table = measured(workdir)
    assert table.n_without_record.sum() == 2
    assert table.n_without_record["score_images"] == 1
    assert table.device_memory_mb["fit_sae"] == 3 * 1024
    text = (workdir / TABLE).read_text()
    assert "2 of them have no record and are not in these numbers" in text
    assert "(fit_pca 1, score_images 1)" in text
    assert " 3.0 GB |" in text


COUNT_LINES = '''"""Count the lines of a table."""

from pathlib import Path

from vitproto.launch.cli import run


def count_lines(table: Path, out: Path) -> None:
    """Count the lines of a table."""
    out.write_text(f"{len(table.read_text().splitlines())}\\n")


if __name__ == "__main__":
    run(count_lines)
'''
COUNT_RULE = """

REPORT.append(f"{STUDY}/n_lines.txt")


rule count_lines:
    input:
        f"{STUDY}/map_table.md",
    output:
        f"{STUDY}/n_lines.txt",
    log:
        f"{STUDY_LOGS}/count_lines.log",
    benchmark:
        f"{STUDY_LOGS}/count_lines.tsv"
    shell:
        "python scripts/count_lines.py --table {input} --out {output} > {log} 2>&1"
"""


def test_a_new_stage_is_a_script_and_a_rule(costed, tmp_path):
    """The plan, a dry run and the table of costs list it without another edit."""
    workdir = tmp_path / "copy"
    shutil.copytree(costed, workdir)
    (workdir / "scripts/count_lines.py").write_text(COUNT_LINES)
    with (workdir / "workflow/rules/report_traits.smk").open("a") as rules:
        rules.write(COUNT_RULE)
    said = plan(workdir, "tiny.yaml")
    assert rows(said)["count_lines"][:2] == ["1", "3.0 s"]
    assert "2 of 63 jobs are due: count_lines 1, tabulate_cost 1" in said
    due = {"count_lines": 1, "tabulate_cost": 1}
    command = ("all", "--configfile", "tiny.yaml")
    shown = snakemake(workdir, *command, "-n")
    assert counts(shown.stdout) == due
    shown = snakemake(workdir, *command)
    assert shown.returncode == 0, shown.stdout
    n_lines = len((workdir / "results/tiny/map_table.md").read_text().splitlines())
    assert int((workdir / "results/tiny/n_lines.txt").read_text()) == n_lines
    assert measured(workdir).n_jobs["count_lines"] == 1
    assert "Each of them has a record" in (workdir / TABLE).read_text()
    assert "Nothing to be done" in snakemake(workdir, *command, "-n").stdout


def test_a_process_of_its_own_makes_the_same_table(costed, tmp_path):
    """Its graph has no other job, as where a cluster or a sub-process runs one."""
    workdir = tmp_path / "copy"
    shutil.copytree(costed, workdir)
    before = (workdir / TABLE).read_bytes()
    (workdir / TABLE).unlink()
    shown = snakemake(
        *(workdir, "--configfile", "tiny.yaml"),
        *("--mode", "subprocess", "--no-hooks", "--nolock", "--cores", "1"),
        *("--target-jobs", "tabulate_cost:", "--allowed-rules", "tabulate_cost"),
    )
    assert shown.returncode == 0, shown.stdout
    assert (workdir / TABLE).read_bytes() == before
    assert (
        "Nothing to be done"
        in snakemake(workdir, "all", "-n", "--configfile", "tiny.yaml").stdout
    )


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
    assert "jobs write 623 kB to results/activations, but only 100 kB" in shown.stdout
    assert "set storage: activations to a folder on a larger one" in shown.stdout
