"""Several checkouts: each runs its own library, and they may share large files."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from reliability import (
    EDITS,
    TABLE,
    make_study,
    run,
    tables,
    train_the_encoder_further,
)
from study_copy import PROJECT

from vitproto.data.trait_labels import TraitLabels


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The study, not yet run. Only to be read."""
    return make_study(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def sharing(bare, tmp_path_factory):
    """Makes a checkout whose large files lie in one folder with those of others."""
    storage = tmp_path_factory.mktemp("storage")

    def make() -> Path:
        workdir = tmp_path_factory.mktemp("checkout") / "study"
        shutil.copytree(bare, workdir)
        text = (workdir / "micro.yaml").read_text()
        text = re.sub(
            r": results/(activations|checkpoints|scores)", rf": {storage}/\1", text
        )
        (workdir / "micro.yaml").write_text(text)
        return workdir

    return make


def run_well(workdir: Path, target: str = TABLE) -> Counter[str]:
    found = run(workdir, target=target)
    assert not found.failed, found.said
    return found.finished


@pytest.mark.reliability
def test_checkouts_share_what_is_right_and_never_take_what_is_not(
    sharing, bare, tmp_path
):
    first = sharing()
    assert run_well(first)["record_activations"] == 2
    expected = tables(first)

    # Another checkout of the same has its lists and tables to make, and nothing else.
    again = run_well(sharing())
    assert not {"record_activations", "score_images"} & again.keys()
    assert again["list_cub200"] == again["tabulate_map"] == 1

    # Other weights under the same name give what they give to a checkout alone.
    other, alone = sharing(), tmp_path / "alone"
    shutil.copytree(bare, alone)
    for workdir in (other, alone):
        train_the_encoder_further(workdir)
        assert run_well(workdir)["record_activations"] == 2
    assert tables(other) == tables(alone) != expected

    # The first one's tables are still right, and what it makes next is right too.
    assert not run_well(first)
    EDITS["setting: rounds of k-means"].apply(first)
    assert run_well(first)["record_activations"] == 2
    edited = tmp_path / "edited"
    shutil.copytree(bare, edited)
    EDITS["setting: rounds of k-means"].apply(edited)
    run_well(edited)
    assert tables(first) == tables(edited)


def test_a_checkout_runs_the_library_beside_its_snakefile(bare, tmp_path):
    """Whatever checkout the environment was made for: `run` names no folder."""
    workdir = tmp_path / "study"
    shutil.copytree(bare, workdir)
    traits = "results/micro/birds.traits.npz"
    run_well(workdir, traits)
    before = TraitLabels.load(workdir / traits).labels_NT.sum()
    EDITS["code: label loader"].apply(workdir)
    assert run_well(workdir, traits)["read_traits"] == 1
    assert TraitLabels.load(workdir / traits).labels_NT.sum() < before


def test_a_stage_refuses_the_library_of_another_checkout(bare):
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    shown = subprocess.run(
        [sys.executable, "scripts/list_runs.py", "micro.yaml"],
        cwd=bare,
        env=env,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 1
    assert shown.stderr == (
        f"list_runs: scripts/list_runs.py would use the library in {PROJECT}, which "
        f"Python finds first: set PYTHONPATH={bare}\n"
    )


def test_the_graph_is_the_same_with_data_and_without(bare, tmp_path):
    workdir = tmp_path / "study"
    shutil.copytree(bare, workdir)
    graphs = []
    for gone in ("nothing", "birds", "encoders"):
        shutil.rmtree(workdir / gone, ignore_errors=True)
        shown = run(workdir, "-n")
        assert not shown.failed, shown.said
        graphs.append(sorted(re.findall(r"^    output: .*", shown.said, re.M)))
    assert graphs[0] == graphs[1] == graphs[2]
    assert len(graphs[0]) == 17


def test_an_environment_that_moved_with_its_folder_is_mended(tmp_path):
    """One without packages is enough: scripts name the folder that it was made in."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(PROJECT / name, old)
    python = sys._base_executable
    subprocess.run([python, "-m", "venv", "--without-pip", old / ".venv"], check=True)
    script = old / ".venv/bin/snakemake"
    script.write_text(f"#!{old}/.venv/bin/python\nimport sys\nprint(sys.prefix)\n")
    script.chmod(0o755)
    (old / ".venv/ready").write_text(f"{old}\n")
    packages = next((old / ".venv/lib").glob("python*")) / "site-packages"
    finder = packages / "__editable___vitproto_finder.py"
    finder.write_text(f"MAPPING = {{'vitproto': '{old}/vitproto'}}\n")

    new = tmp_path / "new"
    shutil.move(old, new)
    make = ["make", f"PYTHON={python}", ".venv/ready"]
    shown = subprocess.run(make, cwd=new, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "Correcting the paths in .venv, which was made" in shown.stdout
    said = subprocess.run([new / ".venv/bin/snakemake"], capture_output=True, text=True)
    assert said.stdout == f"{new}/.venv\n"
    moved = new / finder.relative_to(old)
    assert moved.read_text() == f"MAPPING = {{'vitproto': '{new}/vitproto'}}\n"
    # Some versions of Python quote it.
    activate = (new / ".venv/bin/activate").read_text().replace('"', "")
    assert f"VIRTUAL_ENV={new}/.venv\n" in activate
    again = subprocess.run(make, cwd=new, capture_output=True, text=True)
    assert "Correcting" not in again.stdout
