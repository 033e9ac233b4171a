"""The profile for SLURM on a real cluster of one node, through everything but luck."""

import os
import re
import shutil
import subprocess

import pytest
from slurm.cluster import all_jobs
from slurm.study import ON_SLURM, TARGETS, on_cluster
from study_copy import find

pytestmark = pytest.mark.slurm

ON_GPU = {
    *("record_activations", "fit_sae", "evaluate_saes", "score_images"),
    "show_features",
}
ON_CPU = {
    *("draw_demo_birds", "draw_demo_corpus", "list_cub200", "list_image_folder"),
    *("read_traits", "fit_random", "fit_kmeans", "select_prototypes"),
    *("tabulate_map", "tabulate_saes"),
}


def rule(job: dict[str, str]) -> str:
    """The rule that a job of SLURM runs."""
    return re.match(r"rule_([a-z0-9_]+?)(_wildcards_|$)", job["Comment"])[1]


def run_on(slurm, workdir, *args: str) -> str:
    """What Snakemake shows of a run on the cluster that fails."""
    shown = subprocess.run(
        ["snakemake", *args, *ON_SLURM, "--retries", "0"],
        cwd=workdir,
        env=on_cluster(workdir, slurm),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert shown.returncode != 0, shown.stdout
    assert "Traceback" not in shown.stdout
    return shown.stdout


@pytest.fixture
def workdir(outcome, tmp_path):
    """The finished study, free to be broken."""
    return shutil.copytree(outcome.workdir, tmp_path / "copy")


def test_rules_that_use_a_gpu_run_in_its_partition_with_one_each(outcome):
    places = {}
    for job in outcome.jobs:
        place = (job["Partition"], job.get("TresPerJob"), job.get("CpusPerTres"))
        places.setdefault(rule(job), set()).add(place)
    on_gpu = {name: {("nextgen", "gres:gpu:1", "gres:gpu:8")} for name in ON_GPU}
    on_cpu = {name: {("cpu", None, None)} for name in ON_CPU}
    assert places == {**on_gpu, **on_cpu}


def test_a_cancelled_job_is_tried_again(outcome):
    by_id = {job["JobId"]: job for job in outcome.jobs}
    cancelled, again = by_id[outcome.cancelled], by_id[outcome.tried_again]
    assert cancelled["JobState"] == "CANCELLED"
    assert again["Comment"] == cancelled["Comment"]
    memory = [int(job["MinMemoryNode"].removesuffix("M")) for job in (cancelled, again)]
    assert memory == [16_000, 32_000]


def test_a_job_ends_although_the_main_process_was_killed(outcome):
    by_id = {job["JobId"]: job for job in outcome.jobs}
    assert by_id[outcome.tried_again]["JobState"] == "COMPLETED"


def test_a_training_that_ran_out_of_time_goes_on(outcome):
    trainings = [job for job in outcome.jobs if rule(job) == "fit_sae"]
    assert [job["JobState"] for job in trainings] == ["TIMEOUT", "COMPLETED"]
    log = outcome.workdir / "results/logs/tiny/tiny-vit/layer3/topk/fit_sae.log"
    (step,) = re.findall(r"goes on at step (\d+)", log.read_text())
    assert int(step) > 0


def test_after_all_that_the_bytes_are_those_of_a_local_run(outcome, local):
    files = sorted(path for path in local.glob("results/tiny/**/*") if path.is_file())
    assert len(files) > 15
    for file in files:
        again = outcome.workdir / file.relative_to(local)
        assert again.read_bytes() == file.read_bytes(), file


def test_the_last_words_of_a_failed_job_are_shown(slurm, workdir):
    stage = workdir / "scripts/score_images.py"
    starts = "    torch_device = pick_device(device)\n"
    text = stage.read_text()
    assert starts in text
    stage.write_text(text.replace(starts, '    raise ValueError(f"no {out}")\n'))
    scores = find(workdir, "results/scores/tiny/*/layer3/random/*/scores.h5")
    shown = run_on(slurm, workdir, scores)
    _, words = re.split(r"\nThe last lines of \S+/score_images-\w+\.log:\n", shown)
    assert words.splitlines()[-1] == f"score_images: no {scores}"
    (slurm_log,) = re.findall(r"^See also (.*)$", shown, re.MULTILINE)
    assert "rule_score_images" in slurm_log
    assert os.path.isfile(slurm_log)


def test_a_partition_that_is_not_there_is_named_before_the_first_job(slurm, workdir):
    path = workdir / "profiles/slurm/config.yaml"
    lines = path.read_text().splitlines()
    (line,) = (
        i for i, line in enumerate(lines) if line.startswith("  slurm_partition: cpu")
    )
    lines[line] = "  slurm_partition: nowhere"
    path.write_text("\n".join(lines))
    before = len(all_jobs(slurm))
    shown = run_on(slurm, workdir, *TARGETS, "--forcerun", "list_cub200")
    assert shown.endswith(
        "\nError: this cluster has no partition nowhere, but cpu, nextgen: change "
        f"slurm_partition in profiles/slurm/config.yaml, line {line + 1}\n"
    )
    assert len(all_jobs(slurm)) == before


def test_a_job_of_a_killed_main_process_is_not_started_twice(outcome):
    job = outcome.tried_again
    refused = (outcome.workdir / "refused.out").read_text().splitlines()[-1]
    assert refused.startswith("Error: jobs of an earlier run still make the same files")
    assert f"{job} (rule_record_activations_wildcards_tiny_birds" in refused
    assert job in refused.split("or cancel them: scancel ")[1].split()
