"""TensorBoard is told what the log says, where somebody wants it."""

import sys
import types

import pytest

from vitproto.prototypes.sae.learner import StepLog
from vitproto.prototypes.sae.tensorboard import observer

LOG = StepLog(0.001, 8.0, 0.5, 0.4, 0.0, 0.1, 8.0, 3, 1.5)


def test_every_number_of_a_step_is_written_to_the_folder_of_its_run(
    tmp_path, monkeypatch
):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            self.folder = folder

        def add_scalar(self, name, value, step):
            written.append((self.folder, name, value, step))

        def flush(self):
            pass

    stand_in = types.ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    observe = observer(tmp_path, wanted=True)
    observe("k8-seed0", 512, LOG)
    assert (str(tmp_path / "k8-seed0"), "mse", 0.4, 512) in written
    assert [name for _, name, _, _ in written] == list(StepLog._fields)


def test_without_tensorboard_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        ValueError, match=r"pip install tensorboard, or set it to false"
    ):
        observer(tmp_path, wanted=True)


def test_nobody_is_told_unless_somebody_wants_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    observer(tmp_path, wanted=False)("k8-seed0", 512, LOG)
    assert not list(tmp_path.iterdir())
