"""Stale results and due jobs, in a chain of results with a few branches."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from vitproto.core.project import PROJECT
from vitproto.freshness import staleness
from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import note, read, take_back
from vitproto.freshness.raw_files import Absent, Files
from vitproto.freshness.staleness import (
    READ_WHOLE_BYTES,
    Due,
    Job,
    content_of,
    judge,
    origin_of_job,
)

READ_ONCE = cache(staleness.reached)
LIST, RECORD, FIT, TABLE = range(4)
RULES = ("list_cub200", "record_activations", "fit_random", "tabulate_map")


class Study:
    """A list that counts by content, and recording, fitting and tables after it."""

    def __init__(self, folder: Path):
        self.digests = Digests(folder / "digests.json")
        self.source = folder / "images.txt"
        self.source.write_text("1 a.jpg")
        self.jobs: list[Job] = []
        for i, rule in enumerate(RULES):
            output = folder / f"{i}.csv"
            reads = Files((("images.txt", self.source),))
            needs = {i - 1: self.jobs[i - 1].outputs} if i else {}
            self.jobs.append(
                Job(
                    rule=rule,
                    room="",
                    wildcards={},
                    command=rule,
                    settings={"n": 1},
                    files=(),
                    raw=(reads,) if i == LIST else None,
                    outputs=(output,),
                    needs=needs,
                    by_content=i == LIST,
                    is_wanted=i == TABLE,
                    is_forced=False,
                )
            )

    def run(self, *places: int, content: str = "") -> None:
        """Make results, as a run does."""
        for i in places:
            job = self.jobs[i]
            noted = {f: read(f) for files in job.needs.values() for f in files}
            inputs = {file: found and found.origin for file, found in noted.items()}
            origin = origin_of_job(job, inputs, PROJECT, self.digests)
            for output in job.outputs:
                output.write_text(content or f"made by {job.rule}")
            contents = {o: content_of(o, self.digests) for o in job.outputs}
            note(origin, contents, {})

    def change(self, i: int, **settings: object) -> None:
        self.jobs[i] = replace(self.jobs[i], **settings)

    def judge(self):
        return judge(self.jobs, PROJECT, self.digests)

    def due(self) -> list[Due]:
        found = self.judge().due
        return [found[i] for i in range(len(self.jobs))]


NOTHING = [Due.NO] * 4


@pytest.fixture(autouse=True)
def _code_stays(monkeypatch):
    """Read the code only once, since no test here edits it."""
    monkeypatch.setattr(staleness, "reached", READ_ONCE)


@pytest.fixture
def study(tmp_path):
    """All results made, and fresh."""
    study = Study(tmp_path)
    study.run(*range(4))
    assert study.due() == NOTHING
    return study


def test_nothing_is_made_yet(tmp_path):
    study = Study(tmp_path)
    # The list is to be made for sure, and so is all that is not there.
    assert study.due() == [Due.YES] * 4
    assert study.judge().missing == {LIST, RECORD, FIT, TABLE}


def test_another_setting_makes_a_job_and_all_above_it_due(study):
    study.change(RECORD, settings={"n": 2})
    verdict = study.judge()
    assert verdict.changed == {RECORD: ("n: 1 → 2",)}
    earlier = "it was made from an earlier record_activations"
    assert verdict.above == {FIT: (earlier,), TABLE: (earlier,)}
    assert study.due() == [Due.NO, Due.YES, Due.YES, Due.YES]


def test_a_stage_that_failed_stays_due_and_so_does_all_above_it(study):
    """Snakemake deletes a failed job's output; results made from it look fresh."""
    study.change(RECORD, settings={"n": 2})
    study.jobs[RECORD].outputs[0].unlink()
    take_back(study.jobs[RECORD].outputs)
    assert study.due() == [Due.NO, Due.YES, Due.YES, Due.YES]
    study.run(RECORD)
    assert study.due() == [Due.NO, Due.NO, Due.YES, Due.YES]


def test_what_a_run_was_going_to_make_again_stays_due(study):
    """Also if only the user forced it."""
    take_back(file for job in study.jobs[FIT:] for file in job.outputs)
    assert study.due() == [Due.NO, Due.NO, Due.YES, Due.YES]
    study.run(FIT)
    assert study.due() == [Due.NO, Due.NO, Due.NO, Due.YES]


def test_an_intermediate_result_that_is_gone_is_made_again_only_if_needed(study):
    study.jobs[FIT].outputs[0].unlink()
    assert study.due() == NOTHING
    assert study.judge().missing == {FIT}
    study.change(TABLE, settings={"n": 2})
    assert study.due() == [Due.NO, Due.NO, Due.YES, Due.YES]


def test_a_change_is_seen_through_results_that_are_not_there(study):
    for job in study.jobs[RECORD:TABLE]:
        job.outputs[0].unlink()
        take_back(job.outputs)
    assert study.due() == NOTHING
    study.change(RECORD, command="another")
    assert study.due() == [Due.NO, Due.YES, Due.YES, Due.YES]


def test_what_is_made_of_a_list_waits_for_what_the_list_says(study):
    study.change(LIST, settings={"n": 2})
    assert study.due() == [Due.YES, Due.PERHAPS, Due.PERHAPS, Due.PERHAPS]
    name = f"the content of {study.jobs[LIST].outputs[0]}"
    assert study.judge().reasons[RECORD] == (f"only if {name} changes",)
    study.run(LIST)
    assert study.due() == NOTHING


def test_another_list_makes_all_above_it_due(study):
    study.source.write_text("2 b.jpg")
    verdict = study.judge()
    assert verdict.changed == {LIST: ("images.txt changed",)}
    study.run(LIST, content="otherwise")
    assert study.due() == [Due.NO, Due.YES, Due.YES, Due.YES]
    name = f"the content of {study.jobs[LIST].outputs[0]}"
    assert study.judge().above[TABLE] == (f"{name} changed",)


def test_what_only_a_perhaps_stale_job_needs_waits_with_it(study):
    study.jobs[FIT].outputs[0].unlink()
    study.change(LIST, settings={"n": 2})
    assert study.due() == [Due.YES, Due.PERHAPS, Due.WAITS, Due.PERHAPS]
    study.run(LIST)
    assert study.due() == NOTHING


def test_a_list_edited_by_hand_is_made_again_before_others_are(study):
    study.jobs[LIST].outputs[0].write_text("by hand")
    assert study.due() == [Due.YES, Due.PERHAPS, Due.PERHAPS, Due.PERHAPS]
    assert "changed after it was made" in study.judge().unknown[LIST]
    study.run(LIST)
    assert study.due() == NOTHING


def test_a_result_edited_by_hand_is_due_if_the_run_asks_for_it(study):
    study.jobs[TABLE].outputs[0].write_text("better numbers")
    assert study.due() == [Due.NO, Due.NO, Due.NO, Due.YES]


def test_a_source_that_is_not_there_is_not_compared(study):
    study.change(LIST, raw=(Absent("the data set birds"),))
    assert study.due() == NOTHING
    assert study.judge().absent == ("the data set birds",)


def test_a_source_that_is_gone_from_data_that_is_here_makes_its_list_due(study):
    study.source.unlink()
    assert study.due()[LIST] == Due.YES


def test_checkpoints_that_are_gone_are_fitted_again_if_they_are_needed(study):
    checkpoint = study.source.with_name("k4-seed0.safetensors")
    manifest = study.source.with_name("checkpoints.json")
    study.change(FIT, outputs=(manifest,))
    study.change(TABLE, needs={FIT: (manifest,)})
    runs = {"runs": [{"path": str(checkpoint)}]}
    checkpoint.touch()
    study.run(FIT, content=json.dumps(runs))
    study.run(TABLE)
    checkpoint.unlink()
    assert study.due() == NOTHING
    assert study.judge().missing == {FIT}  # as an intermediate file would be
    study.jobs[TABLE].outputs[0].unlink()
    assert study.due() == [Due.NO, Due.NO, Due.YES, Due.YES]


@pytest.mark.parametrize("note_is_gone", [False, True])
def test_a_list_that_is_gone_is_made_again_and_then_compared(study, note_is_gone):
    """A failed job leaves no list, or a user may have deleted it."""
    study.jobs[LIST].outputs[0].unlink()
    if note_is_gone:
        take_back(study.jobs[LIST].outputs)
    study.source.write_text("2 b.jpg")
    assert study.due() == [Due.YES, Due.PERHAPS, Due.PERHAPS, Due.PERHAPS]
    study.run(LIST, content="otherwise")
    assert study.due() == [Due.NO, Due.YES, Due.YES, Due.YES]


def test_a_list_without_its_note_is_made_again_and_then_compared(study):
    take_back(study.jobs[LIST].outputs)
    assert study.due() == [Due.YES, Due.PERHAPS, Due.PERHAPS, Due.PERHAPS]
    study.run(LIST)
    assert study.due() == NOTHING


def test_where_its_sources_are_not_a_list_that_is_gone_is_not_compared(study):
    study.jobs[LIST].outputs[0].unlink()
    study.source.unlink()
    assert study.due() == NOTHING


def test_a_new_checkout_makes_the_list_and_then_records_nothing(study):
    """It shares what was recorded, and has nothing else."""
    for i in (LIST, FIT, TABLE):
        study.jobs[i].outputs[0].unlink()
        take_back(study.jobs[i].outputs)
    assert study.due() == [Due.YES, Due.PERHAPS, Due.YES, Due.YES]
    study.run(LIST)
    assert study.due() == [Due.NO, Due.NO, Due.YES, Due.YES]


def test_force_reaches_all_above_but_not_through_a_list(study):
    study.change(RECORD, is_forced=True)
    assert study.due() == [Due.NO, Due.YES, Due.YES, Due.YES]
    study.change(RECORD, is_forced=False)
    study.change(LIST, is_forced=True)
    assert study.due() == [Due.YES, Due.PERHAPS, Due.PERHAPS, Due.PERHAPS]


def test_a_note_of_another_version_vouches_for_nothing(study):
    file = study.jobs[TABLE].outputs[0]
    path = file.parent / ".origins" / f"{file.name}.json"
    for text in ("{}", '{"format": 1}', "damaged"):
        path.write_text(text)
        assert study.due() == [Due.NO, Due.NO, Due.NO, Due.YES]
        assert study.judge().unknown[TABLE] == "it has no origin note"


def test_results_of_two_runs_side_by_side_are_not_one_result(study):
    other = study.jobs[TABLE].outputs[0].with_name("table.md")
    study.change(TABLE, outputs=(*study.jobs[TABLE].outputs, other))
    study.run(TABLE)
    assert study.due() == NOTHING
    study.change(TABLE, outputs=(other,), settings={"n": 2})
    study.run(TABLE)
    first = study.jobs[TABLE].outputs[0].with_name("3.csv")
    study.change(TABLE, outputs=(first, other), settings={"n": 1})
    assert study.due()[TABLE] == Due.YES


def test_a_large_result_is_known_by_its_size(study):
    file = study.jobs[FIT].outputs[0]
    with file.open("wb") as large:
        large.truncate(READ_WHOLE_BYTES + 1)
    assert content_of(file, study.digests) == f"{READ_WHOLE_BYTES + 1} bytes"
