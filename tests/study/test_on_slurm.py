"""What jobs may ask for is what their partitions allow."""

from types import SimpleNamespace

import pytest

from vitproto.study import on_slurm
from vitproto.study.resource_requests import Lack
from vitproto.study.slurm import Partition


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Two partitions, of which one has a limit of two hours."""
    found = {
        "cpu": Partition("cpu", "UP", 120, 64_000, is_default=True),
        "long": Partition("long", "UP", None, 64_000, is_default=False),
    }
    monkeypatch.setattr(on_slurm, "partitions", lambda: found)
    monkeypatch.setattr(on_slurm.cluster, "partitions", lambda: found)


def job(rule, partition=""):
    return SimpleNamespace(
        rule=SimpleNamespace(name=rule),
        resources={"slurm_partition": partition},
        is_local=rule == "tabulate_map",
    )


def most(*groups):
    """What jobs may ask for that are submitted in these groups, or alone."""
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


def test_jobs_of_a_group_share_the_time_that_its_partition_allows():
    """SLURM would refuse the group, which asks for the sum."""
    three, one = [job("fit_random") for _ in range(3)], [job("fit_random")]
    assert most(three, one)[Lack.TIME] == {"fit_random": 40}
    many = [job("fit_random") for _ in range(500)]
    assert most(many)[Lack.TIME] == {"fit_random": 1}
