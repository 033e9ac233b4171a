"""The tiny study, run once for all tests."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from study_copy import PROJECT, TARGETS, copy_kernels, copy_project, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The tiny study, run to the end. Only to be read."""
    command = (*TARGETS, "--configfile", "tiny.yaml")
    return _run_once(tmp_path_factory, "finished", *command)


@pytest.fixture(scope="session")
def segmented(tmp_path_factory) -> Path:
    """The tiny segmentation study, run to the end. Only to be read."""
    command = ("all", "--configfile", "tiny_scenes.yaml")
    return _run_once(tmp_path_factory, "segmented", *command)


def _run_once(tmp_path_factory, name: str, *command: str) -> Path:
    """Run a study in a folder that all processes of this test run share."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder, done = shared / name, shared / f"{name}.done"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            shown = snakemake(copy_project(folder), *command)
            assert shown.returncode == 0, shown.stdout
            copy_kernels(folder, PROJECT)
            done.touch()
    return folder


@pytest.fixture
def workdir(finished, tmp_path) -> Path:
    """The finished study, free to be edited."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    return copy
