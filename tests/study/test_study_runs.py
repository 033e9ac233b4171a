"""Rows of the configuration become explicit runs."""

import pytest

from vitproto.runs import Run
from vitproto.study.runs import Family, StudyRun, expand_runs, families

ROW = {
    "encoder": "vit",
    "layer": [3, 1],
    "method": "random",
    "n_prototypes": [512, 32],
    "seed": 0,
}


def test_a_row_of_lists_stands_for_every_combination():
    assert expand_runs([ROW]) == [
        StudyRun("vit", 3, "random", 512, 0),
        StudyRun("vit", 3, "random", 32, 0),
        StudyRun("vit", 1, "random", 512, 0),
        StudyRun("vit", 1, "random", 32, 0),
    ]


def test_a_family_holds_the_runs_of_one_job_smallest_first():
    more = {**ROW, "layer": 1, "n_prototypes": 64, "seed": 7}
    assert families(expand_runs([ROW, more])) == {
        Family("vit", 1, "random"): [Run(32, 0), Run(64, 7), Run(512, 0)],
        Family("vit", 3, "random"): [Run(32, 0), Run(512, 0)],
    }


def test_a_run_is_found_again_by_its_name():
    assert Run(128, 3).name == "k128-seed3"
    assert Run.parse("k128-seed3") == Run(128, 3)


@pytest.mark.parametrize("name", ["k0-seed1", "k12", "k12-seed", "K12-seed1", ""])
def test_a_name_of_no_run_is_refused(name):
    with pytest.raises(ValueError, match="write it like k128-seed0"):
        Run.parse(name)
