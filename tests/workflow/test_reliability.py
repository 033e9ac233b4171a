"""Whatever is edited and whatever fails: the same command ends in the right tables.

`make reliability` tries every edit with every failure, and writes docs/reruns.md.
"""

import os
import random
import re
import shutil
import time
from collections import Counter
from functools import cache

import pytest
from reliability import (
    CHOOSING,
    EDITS,
    FAILURES,
    RECORDING,
    make_study,
    run,
    run_into,
    tables,
    train_further,
)
from reliability_page import PAGE, Outcome, read_page, write_page

SEED = 9
N_DRAWN = 1
STEPS = 2

RARELY = {
    *("code: label loader", "setting: rounds of k-means", "data: a corrected split"),
    *("data: another image", "weights: trained further"),
}
"""Edits that only `make reliability` tries, to save time: others are like them."""

FAILING = [name for name, edit in EDITS.items() if edit.reruns]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The study, not yet run. Only to be read."""
    return make_study(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def done(bare, tmp_path_factory):
    """The study, run to the end. Only to be read."""
    workdir = tmp_path_factory.mktemp("done") / "study"
    shutil.copytree(bare, workdir, symlinks=True)
    found = run(workdir)
    assert not found.failed, found.said
    return workdir


@pytest.fixture(scope="module")
def from_scratch(bare, tmp_path_factory):
    """The tables of a study that was edited before its first run."""

    @cache
    def make(*names: str) -> dict[str, str]:
        workdir = tmp_path_factory.mktemp("scratch") / "study"
        shutil.copytree(bare, workdir)
        for name in names:
            if not name.startswith(("deletion", "Snakemake")):
                EDITS[name].apply(workdir)
        found = run(workdir)
        assert not found.failed, found.said
        return tables(workdir)

    return make


@pytest.fixture
def workdir(done, tmp_path):
    """The finished study, free to be edited and broken."""
    return shutil.copytree(done, tmp_path / "study")


def check_end(workdir, expected: dict[str, str]) -> None:
    """It has the right tables, and nothing is left to do."""
    assert tables(workdir) == expected
    again = run(workdir)
    assert not again.failed
    assert "Nothing to be done" in again.said, again.said


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.reliability] if name in RARELY else [])
        for name in EDITS
    ],
)
def test_an_edit_reruns_what_it_makes_stale_and_ends_as_from_scratch(
    name, workdir, from_scratch, done
):
    edit = EDITS[name]
    edit.apply(workdir)
    found = run(workdir, *edit.arguments)
    assert not found.failed, found.said
    assert found.finished == Counter(edit.reruns)
    changes_inputs = name.startswith(("code", "setting", "data", "weights"))
    if changes_inputs and "tabulate_map" in edit.reruns:
        expected = from_scratch(name)
        # Else an edit whose results were stale would pass as well.
        assert expected != tables(done)
    else:
        expected = tables(done)
    check_end(workdir, expected)


@pytest.mark.reliability
def test_a_checkpoint_of_ones_own_counts_until_it_is_taken_back(workdir, done):
    """Both before and after, the folder of the encoder is read."""
    before = (workdir / "micro.yaml").read_text()
    assert before.count("weights: hub") == 1
    own = workdir / "own.safetensors"
    shutil.copy2(workdir / "encoders/demo/open_clip_model.safetensors", own)
    train_further(own)
    (workdir / "micro.yaml").write_text(
        before.replace("weights: hub", "weights: own.safetensors")
    )
    assert run(workdir).finished == Counter(RECORDING)
    assert tables(workdir) != tables(done)
    (workdir / "micro.yaml").write_text(before)
    # Activations and scores of before lie where the configuration says again.
    assert run(workdir).finished == Counter(["probe_traits", *CHOOSING])
    check_end(workdir, tables(done))


def point_elsewhere(workdir, key: str, wrong: str) -> None:
    text = (workdir / "micro.yaml").read_text()
    changed, n = re.subn(rf"\b{key}: [\w.]+(?![\w./])", f"{key}: {wrong}", text)
    assert n == 1
    (workdir / "micro.yaml").write_text(changed)


def test_a_checkpoint_that_leads_nowhere_is_refused(workdir):
    point_elsewhere(workdir, "weights", "tpyo.safetensors")
    found = run(workdir)
    assert found.failed
    assert "tpyo.safetensors" in found.said.rsplit("Error", 1)[1]
    assert not found.finished


def test_a_root_that_leads_nowhere_is_said(workdir):
    """Data may have stayed elsewhere, so it is not an error."""
    point_elsewhere(workdir, "root", "brids")
    found = run(workdir)
    missing = "Missing here, so not compared: the data set birds (root: brids)"
    assert found.said.count(missing) == 1, found.said
    assert not found.finished


def test_a_text_that_is_gone_from_data_that_are_here_is_no_missing_data(workdir):
    (workdir / "birds/CUB_200_2011/train_test_split.txt").unlink()
    found = run(workdir)
    assert found.failed
    assert "Missing here" not in found.said
    assert "train_test_split.txt" in found.said.rsplit("last lines", 1)[1]


@pytest.mark.reliability
@pytest.mark.parametrize("seed", range(SEED, SEED + N_DRAWN))
def test_edits_and_failures_in_any_order_end_as_from_scratch(
    seed, workdir, from_scratch
):
    draw = random.Random(seed)
    names = draw.sample(FAILING, STEPS)
    for name in names:
        failure = draw.choice([*FAILURES])
        check_failure(workdir, name, failure, draw)
    check_end(workdir, from_scratch(*names))


def check_failure(workdir, name: str, failure: str, draw: random.Random) -> Outcome:
    """A run that fails, and the same command again, run the expected rules alone."""
    edit = EDITS[name]
    stage = draw.choice(edit.reruns)
    first, second = run_into(workdir, edit, failure, stage)
    finished = first.finished + second.finished
    expected = Counter(edit.reruns)
    if failure == "refused":  # the labels were damaged and mended besides
        expected |= Counter(["read_traits"])
    elif failure != "interrupt":
        assert stage in second.finished, (name, failure, stage)
    # A job that ended while Snakemake was being killed may have left no note.
    if failure not in ("group", "main", "interrupt"):
        assert finished == expected, (name, failure, stage)
    # After Ctrl-C, the stage may end well without a word, and leave its note.
    unsaid = {stage} if failure == "interrupt" else set()
    assert set(finished) | unsaid == set(expected), (name, failure, stage)
    return Outcome(stage, first.finished.total(), second.finished.total())


def test_the_page_tells_of_the_edits_and_rules_of_today():
    assert read_page() == {name: edit.reruns for name, edit in EDITS.items()}, (
        f"run make reliability, which writes {PAGE}"
    )


@pytest.mark.reliability
def test_every_edit_with_every_failure(done, from_scratch, tmp_path):
    """Half an hour of them; `RELIABILITY_MINUTES` sets another limit."""
    end = time.monotonic() + 60 * float(os.environ.get("RELIABILITY_MINUTES", "inf"))
    outcomes = {}
    failures = [*FAILURES]
    # So that a short run has tried each edit and each failure as well.
    for shift in range(len(failures)):
        for i, name in enumerate(FAILING):
            if time.monotonic() > end:
                break
            failure = failures[(i + shift) % len(failures)]
            draw = random.Random(f"{name} {failure}")
            workdir = shutil.copytree(done, tmp_path / "study")
            outcomes[name, failure] = check_failure(workdir, name, failure, draw)
            check_end(workdir, from_scratch(name))
            shutil.rmtree(workdir)
    write_page(outcomes)
