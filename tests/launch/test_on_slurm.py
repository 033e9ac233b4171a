"""Requests are limited to what partitions allow."""

import asyncio
from types import SimpleNamespace

import pytest

from vitproto.core.project import PROJECT
from vitproto.launch import on_slurm
from vitproto.launch.failures import Errors
from vitproto.launch.resource_requests import Lack, Requests
from vitproto.slurm.commands import Partition, UserDefaults


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Two partitions, of which one has a limit of two hours."""
    found = {
        "cpu": Partition("cpu", "UP", 120, 64_000, is_default=True),
        "long": Partition("long", "UP", None, 64_000, is_default=False),
    }
    monkeypatch.setattr(on_slurm.cluster, "partitions", lambda: found)
    of_qos = {"brief": 60, "endless": 9000}
    monkeypatch.setattr(on_slurm.cluster, "minutes_of_qos", lambda: of_qos)
    of_user = UserDefaults("poor", None)
    monkeypatch.setattr(on_slurm.cluster, "defaults_of_user", lambda: of_user)


def job(rule, partition="", **others):
    return SimpleNamespace(
        rule=SimpleNamespace(name=rule),
        resources={"slurm_partition": partition, **others},
        is_local=rule == "tabulate_map",
    )


def most(*groups):
    """The limits of jobs that are submitted in these groups, or alone."""
    group_of = {
        id(each): SimpleNamespace(jobs=group) for group in groups for each in group
    }
    dag = SimpleNamespace(get_job_group=lambda each: group_of.get(id(each)))
    return on_slurm._most([each for group in groups for each in group], dag)


def test_time_and_memory_are_those_of_the_partition():
    found = most([job("fit_pca")], [job("fit_sae", "long")], [job("tabulate_map")])
    assert found == {
        Lack.TIME: {"fit_pca": 120},
        Lack.MEMORY: {"fit_pca": 64_000, "fit_sae": 64_000},
    }


def test_a_quality_of_service_may_allow_less_than_the_partition():
    found = most([job("fit_pca", qos="brief")], [job("fit_sae", qos="endless")])
    assert found[Lack.TIME] == {"fit_pca": 60, "fit_sae": 120}
    assert most([job("fit_pca", "long", qos="brief")])[Lack.TIME] == {"fit_pca": 60}


def test_jobs_of_a_group_share_the_time_that_its_partition_allows():
    """Otherwise SLURM would refuse the group, which asks for the sum."""
    three, one = [job("fit_random") for _ in range(3)], [job("fit_random")]
    assert most(three, one)[Lack.TIME] == {"fit_random": 40}
    many = [job("fit_random") for _ in range(500)]
    assert most(many)[Lack.TIME] == {"fit_random": 1}


@pytest.mark.parametrize("no_requeue", [True, False])
def test_the_executor_learns_states_in_words_that_it_knows(monkeypatch, no_requeue):
    said = {
        **{"1": "CANCELLED by 1000", "2": "CANCELLED+", "3": "COMPLETED"},
        **{"4": "PREEMPTED", "5": "REVOKED", "6": ""},
    }

    async def query(command, logger):
        return (said, 0.1) if command == "sacct" else (None, None)

    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    monkeypatch.setattr(plugin, "query_job_status", query)
    on_slurm.read_states(lambda: SimpleNamespace(no_requeue=no_requeue))
    states, _ = asyncio.run(plugin.query_job_status("sacct", None))
    assert states == {
        **{"1": "CANCELLED", "2": "CANCELLED", "3": "COMPLETED"},
        # SLURM starts a preempted job again, unless it is told not to.
        **{"4": "CANCELLED" if no_requeue else "PREEMPTED", "5": "CANCELLED", "6": ""},
    }
    assert asyncio.run(plugin.query_job_status("squeue", None)) == (None, None)


def test_a_misspelt_rule_of_a_profile_is_named_with_the_right_one():
    """Rules of other kinds of studies are not mistakes."""
    given = {name: {} for name in ("fit_pca", "fit_random", "train_probes")}
    given |= {"fit_kmean": {}, "fit_rando": {}, "zzz": {}}
    workflow = SimpleNamespace(
        basedir=PROJECT,
        rules=[SimpleNamespace(name="fit_random")],  # made for `scripts/fit_random.py`
        resource_settings=SimpleNamespace(_parsed_overwrite_resources=given),
    )
    assert on_slurm._unknown_rules(workflow) == [
        "set-resources names an unknown rule, fit_kmean: did you mean fit_kmeans?",
        "set-resources names an unknown rule, fit_rando: did you mean fit_random?",
        "set-resources names an unknown rule, zzz: remove it",
    ]


@pytest.mark.parametrize(("asked", "left"), [(None, set()), ("n7", {"n1", "n7"})])
def test_a_node_that_failed_is_not_left_out_unless_the_user_leaves_some_out(
    monkeypatch, asked, left
):
    """It may be the only one with a GPU, and SLURM knows when it is back."""
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm")
    reported = []
    monkeypatch.setattr(
        plugin.Executor, "report_job_error", lambda *arguments: reported.append(1)
    )
    requests = object.__new__(Requests)
    requests._lacked = {}
    on_slurm.learn_from_failures(requests, Errors())
    settings = SimpleNamespace(exclude_failed_nodes=asked)
    executor = SimpleNamespace(
        workflow=SimpleNamespace(executor_settings=settings),
        _failed_nodes={"n1", *([asked] if asked else [])},
    )
    failed = job("fit_pca")
    failed.jobid, failed.log, failed.wildcards_dict = 1, [], {}
    failed.is_group = lambda: False
    said = "SLURM-job '7' failed, SLURM status is: 'NODE_FAIL'"
    plugin.Executor.report_job_error(executor, SimpleNamespace(job=failed), said)
    assert (executor._failed_nodes, reported) == (left, [1])


def test_jobs_of_another_cluster_are_not_looked_for_in_this_one_s_queue():
    jobs = [job("fit_pca"), job("tabulate_map"), job("fit_sae", clusters="far")]
    running = SimpleNamespace(scheduler=SimpleNamespace(running=jobs))
    assert on_slurm._awaited(running) == 1
