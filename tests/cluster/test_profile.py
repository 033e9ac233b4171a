"""The SLURM profile on a real cluster of one node, with all kinds of failures."""

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from slurm_cluster import all_jobs
from slurm_study import (
    AP,
    BY_SACCT,
    ON_SLURM,
    TARGETS,
    ask_for,
    main_process,
    on_cluster,
    wait_for,
)
from study_copy import PROJECT, find

from vitproto.planning.submissions import groups_of

pytestmark = pytest.mark.slurm

ON_GPU = {"record", "fit_sae", "evaluate", "score", "show_features"}
ON_CPU = {
    *("draw_demo_birds", "draw_demo_corpus", "draw", "kmeans", "select"),
    *("pool", "probe", "permute", "compare"),
}
GROUPS = groups_of(PROJECT / "profiles/slurm/config.yaml")


def what(job: dict[str, str]) -> str:
    """The rule, or the group of rules, that a job of SLURM runs."""
    name = re.match(r"rule_([a-z0-9_]+?)(_wildcards_|$)", job["Comment"])[1]
    groups = {f"{group}_{rule}": group for rule, group in GROUPS.items()}
    return groups.get(name, name)


def run_on(slurm, workdir, *args: str, ends_well: bool = False) -> str:
    """Snakemake's output of a run on the cluster."""
    shown = subprocess.run(
        ["snakemake", *ON_SLURM, *args],
        cwd=workdir,
        env=on_cluster(workdir, slurm),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (shown.returncode == 0) == ends_well, shown.stdout
    assert "Traceback" not in shown.stdout
    return shown.stdout


def jobs_since(slurm, before: int) -> list[dict[str, str]]:
    """The jobs that were submitted after a job, in order."""
    jobs = sorted(all_jobs(slurm), key=lambda job: int(job["JobId"]))
    return [job for job in jobs if int(job["JobId"]) > before]


def last_job(slurm) -> int:
    return max(int(job["JobId"]) for job in all_jobs(slurm))


def memory_mb(job: dict[str, str]) -> int:
    number, unit = re.fullmatch(r"(\d+)([MG])", job["MinMemoryNode"]).groups()
    return int(number) * {"M": 1, "G": 1024}[unit]


@pytest.fixture
def workdir(outcome, tmp_path):
    """A copy of the finished study, for breaking."""
    return shutil.copytree(outcome.workdir, tmp_path / "copy")


def test_rules_that_use_a_gpu_run_in_its_partition_with_one_each(outcome):
    places = {}
    for job in outcome.jobs.values():
        place = (job["Partition"], job.get("TresPerJob"))
        places.setdefault(what(job), set()).add(place)
    on_gpu = {name: {("nextgen", "gres:gpu:1")} for name in ON_GPU}
    on_cpu = {name: {("cpu", None)} for name in ON_CPU}
    assert places == {**on_gpu, **on_cpu}


def test_a_cancelled_job_is_tried_again_with_the_same_request(outcome):
    cancelled, again = outcome.jobs[outcome.cancelled], outcome.jobs[outcome.waiting]
    assert cancelled["JobState"] == "CANCELLED"
    assert cancelled["Requeue"] == "0"  # else SLURM itself might try it again too
    for key in ("MinMemoryNode", "TimeLimit", "CPUs/Task", "Comment"):
        assert again[key] == cancelled[key]


def test_jobs_that_run_or_wait_end_although_the_main_process_was_killed(outcome):
    """Even if a new run is refused meanwhile: SLURM writes into their folders."""
    for job in (outcome.running, outcome.waiting):
        assert outcome.jobs[job]["JobState"] == "COMPLETED"


@pytest.mark.parametrize("said", ["refused.out", "refused_here.out"])
def test_what_such_jobs_make_is_not_made_twice_at_once(outcome, said):
    last = (outcome.workdir / said).read_text().splitlines()[-1]
    expected = "Error: jobs of an earlier run are still making the same files: "
    assert last.startswith(expected)
    makes = dict(re.findall(r"(\d+) \(record_activations dataset=(\w+)", last))
    left = {outcome.running, outcome.waiting}
    assert makes.keys() == left
    assert {*makes.values()} == {"tiny_corpus", "tiny_birds"}
    assert {*last.split("or cancel them: scancel ")[1].split()} == left


def test_one_can_tell_from_the_queue_what_such_jobs_make(outcome):
    makes = dict(re.findall(r"^\| *(\d+) \| .*\| (.*?) *\|$", outcome.queue, re.M))
    assert makes.keys() == {outcome.running, outcome.waiting}
    assert {*makes.values()} == {
        "record_activations tiny_corpus tiny-vit",
        "record_activations tiny_birds tiny-vit and 1 more",
    }
    assert re.search(rf"\| *{outcome.running} \| RUNNING +\|", outcome.queue)
    assert re.search(rf"\| *{outcome.waiting} \| PENDING +\|", outcome.queue)


def test_a_training_that_ran_out_of_time_goes_on_with_twice_as_much(outcome):
    trainings = [job for job in outcome.jobs.values() if what(job) == "fit_sae"]
    assert [job["JobState"] for job in trainings] == ["TIMEOUT", "COMPLETED"]
    assert [job["TimeLimit"] for job in trainings] == ["00:01:00", "00:02:00"]
    memory = [job["MinMemoryNode"] for job in trainings]
    assert memory[0] == memory[1]
    log = outcome.workdir / "results/logs/tiny/tiny-vit/layer3/topk/fit_sae.log"
    (step,) = re.findall(r"continues at step (\d+)", log.read_text())
    assert int(step) > 0


def test_after_all_that_the_bytes_are_those_of_a_local_run(outcome, local):
    assert_same_files(outcome.workdir, local, "tiny")


def assert_same_files(workdir, local, study: str) -> None:
    files = [*local.glob(f"results/{study}/**/*"), *local.glob("results/data/*.csv")]
    files = [file for file in files if file.is_file() and ".origins" not in file.parts]
    assert len(files) > 15
    for file in files:
        again = workdir / file.relative_to(local)
        # What jobs took differs, of course.
        if "cost_table" not in file.name:
            assert again.read_bytes() == file.read_bytes(), file


def test_a_study_that_a_job_with_one_core_starts_ends_in_the_same_bytes(
    scenes, local_scenes
):
    assert_same_files(scenes.workdir, local_scenes, "tinyscenes")


def test_its_jobs_have_the_cores_that_their_rules_say(scenes):
    assert scenes.start["CPUs/Task"] == "1"
    cores = {what(job): job["CPUs/Task"] for job in scenes.jobs}
    assert cores.pop("draw_demo_scenes") == "4"
    assert cores.pop("measure_suppression") == "1"
    assert {*cores.values()} == {"8"}


def test_they_are_as_many_as_the_plan_says(scenes):
    n_on_gpu = sum(job["Partition"] == "nextgen" for job in scenes.jobs)
    said = f"On SLURM that is {len(scenes.jobs)} jobs, {n_on_gpu} of them with a GPU"
    assert said in scenes.planned


def test_of_a_group_that_fails_the_rest_counts_and_holds_nothing_up(slurm, workdir):
    """One shard cannot be recorded; the others are, once, and their dependents run."""
    stage = workdir / "scripts/record_activations.py"
    text = stage.read_text()
    starts = "    check_root(root, dataset)\n"
    assert starts in text
    breaks = '    if "tiny_birds" in str(shard) and "00001-of" in str(shard):\n'
    breaks += '        raise ValueError(f"no {shard}")\n'
    stage.write_text(text.replace(starts, breaks + starts))
    before = last_job(slurm)
    targets = [AP, AP.replace("random", "kmeans")]
    how = ("--retries", "1", "--group-components", "record=3")
    shown = run_on(slurm, workdir, *targets, *how)
    jobs = jobs_since(slurm, before)
    assert Counter(map(what, jobs)) == {"record": 2, "draw": 1, "kmeans": 1}
    assert re.findall(r"^(\w+) dataset=\S+ .*failed\.$", shown, re.M) == [
        "record_activations"
    ]
    assert shown.splitlines()[-1].startswith("record_activations: no results/")
    logs = [Path(job["StdOut"]).read_text() for job in jobs if what(job) == "record"]
    begun = Counter(
        re.findall(r"^localrule record.*\n.*\n +output: (\S+)", "\n".join(logs), re.M)
    )
    assert [*begun.values()].count(1) == 2
    assert [shard for shard, n in begun.items() if n == 2] == [
        find(workdir, "results/logs/record_activations/tiny_birds/*/*/*00001-of*.log")
        .replace("logs/record_activations", "activations")
        .replace(".log", ".h5")
    ]


def test_a_job_that_ran_out_of_memory_has_twice_as_much_then(slurm, workdir):
    stage = workdir / "scripts/fit_random.py"
    takes = "hoard = bytearray(900_000_000)\nimport time\ntime.sleep(4)\n"
    stage.write_text(f"{takes}{stage.read_text()}")
    ask_for(workdir, "fit_random", mem_mb=1000)
    checkpoints = "results/tiny/tiny-vit/layer3/random/checkpoints.json"
    before = last_job(slurm)
    run_on(slurm, workdir, checkpoints, "--force", ends_well=True)
    jobs = jobs_since(slurm, before)
    assert jobs[0]["JobState"] in ("OUT_OF_MEMORY", "FAILED")  # by what watches it
    assert jobs[-1]["JobState"] == "COMPLETED"
    assert [job["MinMemoryNode"] for job in jobs] == ["1000M", "2000M"]
    assert jobs[0]["TimeLimit"] == jobs[1]["TimeLimit"]


def test_the_last_words_of_a_failed_job_are_shown(slurm, workdir):
    stage = workdir / "scripts/score_images.py"
    starts = "    torch_device = pick_device(device)\n"
    text = stage.read_text()
    assert starts in text
    stage.write_text(text.replace(starts, '    raise ValueError(f"no {scores}")\n'))
    scores = find(workdir, "results/scores/tiny/*/layer3/random/*/scores.h5")
    shown = run_on(slurm, workdir, scores, "--retries", "0")
    _, words = re.split(r"\nThe last lines of \S+/score_images-\w+\.log:\n", shown)
    assert words.splitlines()[-1] == f"score_images: no {scores}"
    (slurm_log,) = re.findall(r"^See also (.*)$", shown, re.MULTILINE)
    assert "group_score_score_images" in slurm_log
    assert os.path.isfile(slurm_log)


def test_a_signal_that_killed_a_job_is_named_last(slurm, workdir):
    stage = workdir / "scripts/fit_random.py"
    text = stage.read_text()
    stage.write_text(f"import os\nos.kill(os.getpid(), 11)\n{text}")
    checkpoints = "results/tiny/tiny-vit/layer3/random/checkpoints.json"
    shown = run_on(slurm, workdir, checkpoints, "--force", "--retries", "0")
    *_, reason, slurm_log, own_log, cause = shown.splitlines()
    assert re.fullmatch(r"SLURM's job \d+ ended with FAILED", reason)
    assert slurm_log.startswith("See also ")
    assert own_log.startswith("The last lines of results/logs/")
    assert cause == "fit_random: killed by signal 11 (SIGSEGV)"


def profile_with(workdir, old: str, new: str) -> int:
    """Change a line of the profile, and return its number."""
    path = workdir / "profiles/slurm/config.yaml"
    shutil.copy2(PROJECT / "profiles/slurm/config.yaml", path)
    lines = path.read_text().splitlines()
    (i_line,) = (i for i, line in enumerate(lines) if line.startswith(old))
    lines[i_line] = new
    path.write_text("\n".join(lines))
    return i_line + 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  slurm_partition: cpu",
            "  slurm_partition: nowhere",
            "this cluster has no partition nowhere, only cpu, nextgen, short, broken: "
            "change slurm_partition in",
        ),
        (
            "  evaluate_saes: *gpu",
            "  fit_random: {slurm_partition: short, runtime: 3}",
            "jobs of fit_random ask for 3 minutes, but the partition short allows 2: "
            "change runtime in",
        ),
        (
            "  # slurm_account: your_account",
            "  slurm_qos: long",
            "slurm_qos in",
        ),
    ],
)
def test_what_slurm_would_not_take_is_named_before_the_first_job(
    slurm, workdir, old, new, said
):
    line = profile_with(workdir, old, new)
    before = last_job(slurm)
    shown = run_on(slurm, workdir, *TARGETS, "--forcerun", "fit_random")
    assert f"\nError: {said}" in shown
    assert f"profiles/slurm/config.yaml, line {line}" in shown.splitlines()[-1]
    assert last_job(slurm) == before


def test_jobs_ask_for_no_more_time_than_their_partition_allows(slurm, workdir):
    profile_with(workdir, "  slurm_partition: cpu", "  slurm_partition: short")
    before = last_job(slurm)
    checkpoints = "results/tiny/tiny-vit/layer3/random/checkpoints.json"
    run_on(slurm, workdir, checkpoints, "--force", ends_well=True)
    (job,) = jobs_since(slurm, before)
    assert (job["Partition"], job["TimeLimit"]) == ("short", "00:02:00")


def test_what_waits_for_a_partition_that_is_down_is_said_and_ctrl_c_cancels_it(
    slurm, workdir
):
    profile_with(workdir, "  slurm_partition: cpu", "  slurm_partition: broken")
    before = last_job(slurm)
    checkpoints = "results/tiny/tiny-vit/layer3/random/checkpoints.json"
    forced = (checkpoints, "--force")
    with main_process(workdir, slurm, "down.out", forced) as run:
        wait_for(run, lambda: last_job(slurm) > before)
        run.send_signal(signal.SIGINT)
        run.wait(timeout=60)
    said = (workdir / "down.out").read_text()
    assert (
        "the partition broken is down: jobs of fit_random wait until it is up" in said
    )
    (job,) = jobs_since(slurm, before)
    assert job["JobState"] == "CANCELLED"


def test_without_accounts_one_sentence_says_what_to_write(slurm, workdir):
    with main_process(
        workdir, slurm, "accounts.out", (TARGETS[0], "--forceall"), BY_SACCT
    ) as run:
        run.wait(timeout=60)
    assert run.returncode == 1
    last = (workdir / "accounts.out").read_text().splitlines()[-1]
    assert "write slurm-status-command: squeue in profiles/slurm/config.yaml" in last
