"""What jobs ask a cluster for follows the plan, and grows by what they lacked."""

import math
from types import SimpleNamespace

import pytest
from snakemake.resources import Resource

from vitproto.core.project import PROJECT
from vitproto.launch.on_slurm import take_numbers_of_profile
from vitproto.launch.resource_requests import (
    Lack,
    Requests,
    group_sizes,
    lack_of,
)
from vitproto.planning.costs.job import Cost, PlannedJob
from vitproto.planning.plan import estimator
from vitproto.study.read_study import read_study

CONFIG = read_study(PROJECT / "config/config.yaml")
FAMILY = {"encoder": "siglip-vit-l16-256", "layer": "23", "method": "kmeans"}


@pytest.fixture
def requests() -> Requests:
    return Requests(CONFIG, lambda rule, wildcards: rule == "record_activations")


SHARD = {"dataset": "cub200", "encoder": "siglip-vit-l16-256", "n_shards": "4"}


def planned(rule: str, wildcards: dict[str, str], n_threads: int = 8) -> Cost:
    return estimator(CONFIG)(PlannedJob(rule, wildcards, n_threads))


def test_a_job_asks_for_three_times_its_plan_and_some_minutes_to_start(requests):
    cost = planned("fit_kmeans", FAMILY)
    minutes = requests.minutes(FAMILY, "fit_kmeans", 8)
    assert minutes == math.ceil(3 * cost.seconds / 60 + 3)
    assert minutes > 30  # of the largest job of this kind


def test_a_job_asks_for_twice_its_planned_memory_and_that_of_snakemake(requests):
    cost = planned("fit_kmeans", FAMILY)
    asked = requests.memory_mb(FAMILY, "fit_kmeans", 8)
    assert 2 * cost.memory / 1e6 + 400 <= asked <= 2 * cost.memory / 1e6 + 500
    cost = planned("record_activations", SHARD)
    asked = requests.memory_mb(SHARD, "record_activations", 8)
    on_gpu = 2 * cost.memory / 1e6 + 6000
    assert on_gpu + 400 <= asked <= on_gpu + 500
    assert requests.memory_mb(FAMILY, "fit_gaussian", 1) >= 2000


def test_a_job_with_fewer_threads_asks_for_less_memory(requests):
    asked = {n: requests.memory_mb(FAMILY, "fit_kmeans", n) for n in (1, 8)}
    held = {n: planned("fit_kmeans", FAMILY, n).memory for n in (1, 8)}
    assert asked[8] - asked[1] == pytest.approx(2 * (held[8] - held[1]) / 1e6, abs=100)


def asked(requests: Requests, wildcards: dict[str, str]) -> tuple[int, int]:
    return (
        requests.minutes(wildcards, "fit_kmeans", 8),
        requests.memory_mb(wildcards, "fit_kmeans", 8),
    )


def test_each_try_asks_for_twice_as_much_of_what_the_last_one_lacked(requests):
    minutes, memory = asked(requests, FAMILY)
    other = {**FAMILY, "method": "kmeansdistance"}
    before = asked(requests, other)
    for lack, expected in (
        (Lack.NOTHING, (minutes, memory)),
        (Lack.TIME, (2 * minutes, memory)),
        (Lack.MEMORY, (2 * minutes, 2 * memory)),
        (Lack.TIME, (4 * minutes, 2 * memory)),
        (Lack.NOTHING, (4 * minutes, 2 * memory)),
    ):
        requests.note_failure("fit_kmeans", FAMILY, lack)
        assert asked(requests, FAMILY) == expected
    assert asked(requests, other) == before


def test_no_job_asks_for_more_than_its_partition_allows(requests):
    minutes, memory = asked(requests, FAMILY)
    requests.most[Lack.TIME]["fit_kmeans"] = minutes - 1
    requests.most[Lack.MEMORY]["fit_kmeans"] = memory + 1
    requests.note_failure("fit_kmeans", FAMILY, Lack.MEMORY)
    assert asked(requests, FAMILY) == (minutes - 1, memory + 1)


def test_a_number_of_the_profile_is_not_cut_but_its_growth_is(requests):
    """So that a number above the limit is refused, and not shortened in silence."""
    requests.given[Lack.TIME]["fit_kmeans"] = 100
    for n_failed, expected in enumerate(
        [{50: 100, 150: 100, 500: 100}, {50: 100, 150: 150, 500: 200}]
    ):
        if n_failed:
            requests.note_failure("fit_kmeans", FAMILY, Lack.TIME)
        for most, minutes in expected.items():
            requests.most[Lack.TIME]["fit_kmeans"] = most
            assert requests.minutes(FAMILY, "fit_kmeans", 8) == minutes


def test_numbers_of_a_profile_grow_and_expressions_stay_what_they_are(requests):
    def given(key: str, raw: str) -> Resource:
        return Resource(key, lambda *_: "as it was", raw=raw)

    of_profile = {
        "fit_kmeans": {
            "runtime": given("runtime", "600"),
            "mem_mb": given("mem_mb", "1000 * attempt"),
            "gpu": given("gpu", "1"),
        },
        "fit_pca": {
            "runtime": Resource("runtime", "2h"),
            "mem_mb": Resource("mem_mb", 9),
        },
    }
    settings = SimpleNamespace(_parsed_overwrite_resources=of_profile)
    take_numbers_of_profile(requests, settings)
    found = of_profile["fit_kmeans"]
    assert requests.given == {
        Lack.TIME: {"fit_kmeans": 600, "fit_pca": 120},
        Lack.MEMORY: {"fit_pca": 9},
    }
    assert found["runtime"]._evaluator == requests.minutes
    assert found["mem_mb"].raw == "1000 * attempt"
    assert found["mem_mb"]._evaluator != requests.memory_mb
    requests.note_failure("fit_kmeans", FAMILY, Lack.TIME)
    assert requests.minutes(FAMILY, "fit_kmeans", 8) == 1200


@pytest.mark.parametrize(
    ("status", "log", "lack"),
    [
        ("TIMEOUT", "", Lack.TIME),
        ("DEADLINE", "", Lack.TIME),
        ("OUT_OF_MEMORY", "", Lack.MEMORY),
        ("CANCELLED", "Exceeded job memory limit", Lack.NOTHING),
        ("NODE_FAIL", "", Lack.NOTHING),
        ("FAILED", "ValueError: no", Lack.NOTHING),
        ("FAILED", "MemoryError: Unable to allocate 9 GiB", Lack.MEMORY),
        ("FAILED", "Command died with <Signals.SIGKILL: 9>.", Lack.MEMORY),
        ("FAILED", "returned non-zero exit status 137.", Lack.MEMORY),
        ("FAILED", "returned non-zero exit status 139.", Lack.NOTHING),
        ("FAILED", "error: Detected 1 oom_kill event in step 7.0", Lack.MEMORY),
        ("FAILED", "error: Exceeded job memory limit", Lack.MEMORY),
        ("FAILED", "srun: error: node1: task 0: Out Of Memory", Lack.MEMORY),
        ("FAILED", "bash: line 1: 6 Killed      python a.py", Lack.MEMORY),
        ("FAILED", "torch.OutOfMemoryError: CUDA out of memory", Lack.NOTHING),
    ],
)
def test_what_a_job_lacked_follows_from_slurm_s_state_and_its_logs(
    tmp_path, status, log, lack
):
    (tmp_path / "7.log").write_text(f"much\n{log}\nmore\n")
    said = f"SLURM-job '7' failed, SLURM status is: '{status}'. Reason: none."
    assert lack_of(said, [tmp_path / "7.log", tmp_path / "none.log"]) == lack


def test_a_refused_submission_lacked_nothing():
    assert lack_of("SLURM sbatch failed. The error message was 'no'.", []) is (
        Lack.NOTHING
    )


RECORDED = [PlannedJob("record_activations", SHARD, 8)] * 4
DRAWN = [PlannedJob("fit_random", FAMILY)] * 3
GROUPS = {"record_activations": "record", "fit_random": "draw"}


def test_a_group_holds_as_many_jobs_as_make_twenty_minutes():
    sizes = group_sizes([*RECORDED, *DRAWN], GROUPS, CONFIG)
    seconds = planned("record_activations", SHARD).seconds
    assert abs(sizes["record"] * seconds - 20 * 60) <= seconds / 2
    assert sizes.keys() == {"record", "draw"}


def test_jobs_longer_than_twenty_minutes_are_alone():
    slow = {**CONFIG, "throughput": {**CONFIG["throughput"], "gpu_flops": 1e9}}
    assert group_sizes(RECORDED, GROUPS, slow) == {"record": 1}
