"""What is stale, and what to run again, on a chain of three results."""

from dataclasses import replace

import pytest

from vitproto.cli import PROJECT
from vitproto.study.fingerprint import reached
from vitproto.study.origins import Origin, forget, note, read
from vitproto.study.staleness import judge, to_rerun
from vitproto.study.workflow_jobs import Job

CHAIN = ("list_cub200", "read_traits", "tabulate_map")


@pytest.fixture
def jobs(tmp_path):
    """Each made of the one before, and all fresh."""
    jobs, inputs = [], {}
    for i, rule in enumerate(CHAIN):
        output = tmp_path / f"{i}.csv"
        output.touch()
        needs = (i - 1,) if i else ()
        jobs.append(Job(rule, "", {}, rule, {"n": 1}, (), (output,), needs, False))
        origin = Origin(rule, {}, rule, {"n": 1}, inputs, {}, reached(rule))
        note(origin, [output])
        inputs = {rule: origin.digest()}
    return jobs


def changed(jobs, i):
    """The jobs, one of them with another setting."""
    return [*jobs[:i], replace(jobs[i], settings={"n": 2}), *jobs[i + 1 :]]


def test_a_chain_as_it_was_made_is_fresh(jobs):
    assert judge(jobs, PROJECT).fresh == {0, 1, 2}


def test_what_stands_above_a_change_is_stale_and_not_to_be_forced(jobs):
    verdict = judge(changed(jobs, 1), PROJECT)
    assert verdict.changed == {1: ("n: 1 → 2",)}
    assert (verdict.fresh, verdict.above) == ({0}, {2})
    rerun = to_rerun(jobs, {1})
    assert (rerun.targets, rerun.forced) == ([], ["read_traits"])
    assert rerun.jobs == {1, 2}


def test_a_change_is_seen_through_a_result_that_is_not_there(jobs):
    jobs[1].outputs[0].unlink()
    verdict = judge(changed(jobs, 0), PROJECT)
    assert verdict.missing == {1}
    assert verdict.above == {2}
    rerun = to_rerun(jobs, {0})
    assert rerun.targets == [str(jobs[2].outputs[0])]


def test_inputs_that_are_not_there_are_not_compared(jobs):
    jobs[0].outputs[0].unlink()
    verdict = judge(jobs, PROJECT)
    assert verdict.fresh == {1, 2}


def test_an_input_made_again_otherwise_makes_what_was_made_of_it_stale(jobs):
    origin = replace(read(jobs[0].outputs[0]), settings={"n": 2})
    note(origin, jobs[0].outputs)
    verdict = judge(changed(jobs, 0), PROJECT)
    assert verdict.changed == {1: ("it was made of an earlier list_cub200",)}
    assert verdict.above == {2}


def test_results_without_a_note_are_unknown_and_do_not_accuse_others(jobs):
    forget(jobs[1].outputs)
    verdict = judge(jobs, PROJECT)
    assert verdict.unknown == {1}
    assert verdict.fresh == {0, 2}


def test_a_rule_with_fresh_results_is_not_forced_as_a_whole(jobs, tmp_path):
    other = replace(jobs[1], outputs=(tmp_path / "other.csv",))
    rerun = to_rerun([*jobs, other], {1})
    assert rerun.forced == [str(jobs[1].outputs[0])]
    assert rerun.targets == [str(jobs[2].outputs[0])]
