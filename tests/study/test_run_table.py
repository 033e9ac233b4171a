"""Rows of the configuration become explicit runs."""

import pytest

from vitproto.study.run import Run
from vitproto.study.run_table import Family, StudyRun, expand_runs, families

ENCODERS = {"vit": {"width": 64}}
ROW = {
    "encoder": "vit",
    "layer": [3, 1],
    "method": "random",
    "n_prototypes": [512, 32],
    "seed": 0,
}


def test_a_row_of_lists_stands_for_every_combination():
    assert expand_runs([ROW], ENCODERS) == [
        StudyRun("vit", 3, "random", Run(512, 0)),
        StudyRun("vit", 3, "random", Run(32, 0)),
        StudyRun("vit", 1, "random", Run(512, 0)),
        StudyRun("vit", 1, "random", Run(32, 0)),
    ]


def test_a_sweep_multiplies_the_width_of_its_encoder():
    row = {
        "encoder": "vit",
        "layer": 3,
        "method": "relu",
        "exp_factor": [16, 2],
        "learning_rate": 0.001,
        "sparsity": [0.0004, 0.0016],
        "seed": 1,
    }
    assert [run.run.name for run in expand_runs([row], ENCODERS)] == [
        "k1024-lr0.001-sparsity0.0004-seed1",
        "k1024-lr0.001-sparsity0.0016-seed1",
        "k128-lr0.001-sparsity0.0004-seed1",
        "k128-lr0.001-sparsity0.0016-seed1",
    ]


def test_a_family_holds_the_runs_of_one_job_smallest_first():
    more = {**ROW, "layer": 1, "n_prototypes": 64, "seed": 7}
    assert families(expand_runs([ROW, more], ENCODERS)) == {
        Family("vit", 1, "random"): [Run(32, 0), Run(64, 7), Run(512, 0)],
        Family("vit", 3, "random"): [Run(32, 0), Run(512, 0)],
    }


@pytest.mark.parametrize(
    "run",
    [
        Run(128, 3),
        Run(128, 0, sparsity=32.0),
        Run(512, 0, learning_rate=3e-4, sparsity=1.6e-3),
        Run(512, 12, learning_rate=1e-7, sparsity=0.0),
    ],
    ids=lambda run: run.name,
)
def test_a_run_is_found_again_by_its_name(run):
    assert Run.parse(run.name) == run


@pytest.mark.parametrize("name", ["k0-seed1", "k12", "k12-seed", "K12-seed1", ""])
def test_a_name_of_no_run_is_refused(name):
    with pytest.raises(ValueError, match="write it like k128-seed0"):
        Run.parse(name)
