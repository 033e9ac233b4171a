"""Looking up runs in a shared folder of checkpoints."""

import pytest
import torch

from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import DotProduct
from vitproto.prototypes.store import look_up
from vitproto.study.run import Run

TWO, FOUR = Run(2, 0), Run(4, 0)
MADE_BY = {FOUR: {"method": "toy", "n": 4}, TWO: {"method": "toy", "n": 2}}


def test_runs_that_a_study_has_stored_are_not_missing_in_the_next(tmp_path):
    first = look_up(tmp_path, MADE_BY)
    assert first.missing == [FOUR, TWO]
    first.save(TWO, DotProduct(torch.ones(2, 3)))
    second = look_up(tmp_path, MADE_BY)
    assert second.missing == [FOUR]
    assert second.paths == first.paths
    assert checkpoint.read_settings(second.paths[TWO]) == MADE_BY[TWO]


def test_a_run_that_is_made_otherwise_is_missing_and_lies_elsewhere(tmp_path):
    look_up(tmp_path, MADE_BY).save(TWO, DotProduct(torch.ones(2, 3)))
    other = look_up(tmp_path, {TWO: {"method": "toy", "n": 2, "code": "edited"}})
    assert other.missing == [TWO]
    assert other.paths[TWO] != look_up(tmp_path, MADE_BY).paths[TWO]


def test_a_file_renamed_by_hand_is_refused(tmp_path):
    stored = look_up(tmp_path, MADE_BY)
    stored.save(TWO, DotProduct(torch.ones(2, 3)))
    stored.paths[TWO].rename(stored.paths[FOUR])
    with pytest.raises(ValueError, match="was made with n 2, but its name says 4"):
        look_up(tmp_path, MADE_BY)
