"""The next job continues from the latest whole state, whatever other jobs do."""

import os
import shutil
import time

import numpy as np
import pytest
from owners import ended_owner, owner_of
from planted import planted_activations, sae_settings
from recorded import LAYER, write_shards

from vitproto.activations.stream import Activations
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.start import first_decoder, measure_scaling
from vitproto.prototypes.sae.states import BEAT_S, SILENT_AFTER_S, States
from vitproto.study.run import Run

TOPK = Run(48, 0, 0.003, 3.0)


@pytest.fixture
def learner(tmp_path):
    x_NPD, _ = planted_activations(n_images=50)
    acts = Activations.open(write_shards(tmp_path / "acts", x_NPD), LAYER)
    settings = sae_settings(n_scaling=1024)
    scaling = measure_scaling(acts, np.arange(50), settings)
    rows_SD = first_decoder(acts, np.arange(50), settings, scaling, 48, 0)
    return Learner.begin(TOPK, settings, scaling, rows_SD)


def states_of(root, owner):
    """The states of a job with this name."""
    states = States(root)
    states.folder = root / owner
    return states


def write(states, learner, step, log="step\n"):
    learner.step = step
    states.write({"run": learner})
    states.log_path("run").write_text(log)


def test_a_job_continues_from_the_latest_state_of_any_job(tmp_path, learner):
    first = states_of(tmp_path / "states", ended_owner())
    orphan = states_of(tmp_path / "states", owner_of(os.getppid()))
    write(first, learner, 5, "of the first")
    write(orphan, learner, 9, "of the orphan")
    mine = States(tmp_path / "states")
    assert mine.read("run")["step"] == 9
    assert mine.log_path("run").read_text() == "of the orphan"
    assert mine.read("another") is None
    write(mine, learner, 12)
    assert mine.read("run")["step"] == 12
    # A state of mine makes those of ended jobs needless; the orphan's are its own.
    assert not first.folder.exists()
    assert orphan.read("run")["step"] == 12
    (state,) = orphan.folder.glob("*.safetensors")
    assert state.name == "run.step-9.safetensors"
    mine.forget(["run"])
    assert [path.name for path in mine.root.iterdir()] == [orphan.folder.name]
    write(orphan, learner, 15)  # it goes on, and harms nobody
    orphan.forget(["run"])
    assert not mine.root.exists()


def test_other_runs_of_an_ended_job_are_kept(tmp_path, learner):
    old = states_of(tmp_path, ended_owner())
    old.write({"run": learner, "other": learner})
    mine = States(tmp_path)
    mine.write({"run": learner})
    (kept,) = old.folder.glob("*.safetensors")
    assert kept.name == "other.step-0.safetensors"
    mine.forget(["run"])
    assert States(tmp_path).read("other")["step"] == 0
    States(tmp_path).forget(["other"])
    assert not old.folder.exists()


@pytest.mark.parametrize(
    ("silent_s", "is_kept"), [(SILENT_AFTER_S - 60, True), (SILENT_AFTER_S + 60, False)]
)
def test_a_job_elsewhere_ends_when_it_is_silent(tmp_path, learner, silent_s, is_kept):
    elsewhere = states_of(tmp_path, "another-host-7")
    write(elsewhere, learner, 3)
    then = time.time() - silent_s
    os.utime(elsewhere.folder, (then, then))
    mine = States(tmp_path)
    write(mine, learner, 4)
    mine.forget(["run"])
    assert elsewhere.folder.exists() == is_kept


def test_a_job_shows_that_it_lives(tmp_path, learner):
    states = States(tmp_path)
    states.beat()  # before the first state there is nothing to show
    write(states, learner, 3)
    os.utime(states.folder, (0, 0))
    states.beat()
    assert states.folder.stat().st_mtime == 0, "it has just beaten"
    states._beaten -= BEAT_S + 1
    states.beat()
    assert time.time() - states.folder.stat().st_mtime < 60


def test_a_state_that_its_job_replaces_meanwhile_is_looked_for_again(
    tmp_path, learner, monkeypatch
):
    orphan = states_of(tmp_path, owner_of(os.getppid()))
    write(orphan, learner, 3)
    listed = States._of_all_jobs
    looks = []

    def then_replaced(self, key):
        yield from [*listed(self, key)]
        looks.append(key)
        if len(looks) == 1:
            write(orphan, learner, 6)

    monkeypatch.setattr(States, "_of_all_jobs", then_replaced)
    assert States(tmp_path).read("run")["step"] == 6
    assert len(looks) == 2


def test_a_damaged_list_of_an_ended_job_stops_nobody_who_has_a_state(
    tmp_path, learner, caplog
):
    root = tmp_path / "states"
    old, mine = states_of(root, ended_owner()), States(root)
    write(old, learner, 3)
    (old.folder / "index.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged .* to train from the beginning"):
        mine.read("run")
    write(mine, learner, 5)
    assert mine.read("run")["step"] == 5
    assert "other jobs kept states, too" in caplog.text
    assert str(old.folder) in caplog.text
    mine.forget(["run"])
    assert [path.name for path in root.iterdir()] == [old.folder.name]


def test_a_state_that_is_listed_but_missing_is_said(tmp_path, learner):
    states = States(tmp_path)
    write(states, learner, 3)
    (states.folder / "run.step-3.safetensors").unlink()
    with pytest.raises(ValueError, match="is listed but missing: delete") as said:
        States(tmp_path).read("run")
    assert str(states.folder) in str(said.value)
    shutil.rmtree(states.folder)
    assert States(tmp_path).read("run") is None
