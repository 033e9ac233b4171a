"""The tiny study, run once for all tests."""

import shutil
from pathlib import Path

import pytest
from study_copy import TARGETS, copy_project, snakemake


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The tiny study, run to the end. Only to be read."""
    workdir = copy_project(tmp_path_factory.mktemp("finished"))
    shown = snakemake(workdir, *TARGETS, "--configfile", "tiny.yaml")
    assert shown.returncode == 0, shown.stdout
    return workdir


@pytest.fixture(scope="session")
def segmented(tmp_path_factory) -> Path:
    """The tiny segmentation study, run to the end. Only to be read."""
    workdir = copy_project(tmp_path_factory.mktemp("segmented"))
    shown = snakemake(workdir, "all", "--configfile", "tiny_scenes.yaml")
    assert shown.returncode == 0, shown.stdout
    return workdir


@pytest.fixture
def workdir(finished, tmp_path) -> Path:
    """The finished study, free to be edited."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    return copy
