"""Graphs show which rules and jobs need which, without implied arrows."""

from pathlib import Path

from vitproto.freshness.staleness import Job
from vitproto.launch.graphs import job_graph, rule_graph


def job(rule, *needs, room="room", **wildcards):
    return Job(
        rule=rule,
        room=room,
        wildcards=wildcards,
        command="",
        settings={},
        files=(),
        raw=None,
        outputs=(Path(rule),),
        needs={need: () for need in needs},
        by_content=False,
        is_wanted=True,
        is_forced=False,
    )


def arrows(graph):
    return [line.strip() for line in graph.splitlines() if "--" in line]


def test_an_arrow_that_a_longer_path_implies_is_left_out():
    jobs = [job("a"), job("b", 0), job("c", 0, 1)]
    assert arrows(rule_graph(jobs)) == ["a --> b", "b --> c"]


def test_rules_stand_in_their_rooms():
    graph = rule_graph([job("a", room="data"), job("b", 0, room="report")])
    lines = [line.strip() for line in graph.splitlines()]
    assert lines[2:8] == ["subgraph data", "a", "end", "subgraph report", "b", "end"]


def test_a_rule_that_needs_itself_has_no_arrow():
    assert arrows(rule_graph([job("a", x="0"), job("a", 0, x="1")])) == []


def test_shards_are_drawn_as_one():
    shards = [job("a", i_shard=str(i), n_shards="2") for i in range(2)]
    graph = job_graph([*shards, job("b", 0, 1, layer="3")])
    assert 'job0["a<br>2 jobs"]' in graph
    assert 'job1["b<br>layer=3"]' in graph
    assert arrows(graph) == ["job0 --> job1"]


def test_arrows_from_the_same_to_the_same_meet_in_a_dot():
    starts = [job("start", x=str(i)) for i in range(4)]
    ends = [job("end", 0, 1, 2, 3, x=str(i)) for i in range(5)]
    assert len(arrows(job_graph([*starts, *ends]))) == 4 + 5
