"""The lists of dependencies agree, and `make` uses an environment that has them."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from rattler import MatchSpec

from vitproto.core.pins import missing_pins
from vitproto.core.project import PROJECT

# What the package index and conda call differently.
CONDA_NAMES = {
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "torch": "pytorch",
    "open_clip_torch": "open_clip_torch",
}


def pins_of_pip() -> dict[str, str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    pins = dict(re.fullmatch(r"([\w-]+)==([\w.]+)", line).groups() for line in lines)
    return {CONDA_NAMES.get(name, name): version for name, version in pins.items()}


def pins_of_conda() -> dict[str, str]:
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    specs = [MatchSpec(line) for line in environment["dependencies"]]
    return {spec.name.normalized: str(spec.version) for spec in specs}


def test_conda_pins_what_pip_pins():
    conda = pins_of_conda()
    assert conda.pop("python") == ">=3.11"
    assert conda == {name: f"=={version}" for name, version in pins_of_pip().items()}


N_PINS = len(pins_of_pip())


@pytest.fixture
def folder(tmp_path) -> Path:
    """As much of the project as `make` needs to choose a Python."""
    folder = tmp_path / "project"
    for file in (
        *("Makefile", "pyproject.toml", "vitproto/__init__.py"),
        *("vitproto/core/__init__.py", "vitproto/core/pins.py"),
        "vitproto/core/project.py",
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / file, folder / file)
    return folder


def environment(folder: Path, command: str) -> Path:
    """An environment whose Python is a command."""
    python = folder / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\n{command} "$@"\n')
    python.chmod(0o755)
    return folder


def commands(folder: Path, **active: Path) -> list[str]:
    """What `make test` would run while some environments are active."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env |= {name: str(path) for name, path in active.items()}
    make = ["make", "-n", "test"]
    shown = subprocess.run(make, cwd=folder, env=env, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.splitlines()


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_active_environment_with_the_pins_is_used_and_nothing_installed(
    folder, tmp_path, variable
):
    active = environment(tmp_path / "with pins", sys.executable)
    said, test = commands(folder, **{variable: active})
    assert said == f'echo "Using the active environment {active}." >&2'
    assert test.startswith(f'HF_HUB_OFFLINE=1 "{active}/bin/python" -m pytest')


def test_without_an_active_environment_packages_are_installed_into_venv(folder):
    *installing, said, test = commands(folder)
    assert ".venv/bin/python -m pip install --editable '.[dev,browser]'" in installing
    assert said == 'echo "Using .venv." >&2'
    assert test.startswith('HF_HUB_OFFLINE=1 ".venv/bin/python" -m pytest')
    (folder / ".venv").mkdir()
    (folder / ".venv/ready").write_text(f"{folder}\n")
    assert commands(folder) == [said, test]
    assert commands(folder, VIRTUAL_ENV=folder / ".venv") == [said, test]


@pytest.mark.parametrize(
    ("command", "edit", "reason"),
    [
        (f"{sys.executable} -S", None, f"it has no beartype, and {N_PINS - 1} more"),
        (sys.executable, "9.9.9", f"its numpy is {np.__version__}, not 9.9.9"),
        ("false", None, "it has no Python 3.11 or later"),
    ],
    ids=["empty", "another version", "an old Python"],
)
def test_of_an_active_environment_without_the_pins_it_is_said_what_it_lacks(
    folder, tmp_path, command, edit, reason
):
    if edit:
        pins = folder / "pyproject.toml"
        text = re.sub(r"numpy==[\d.]+", f"numpy=={edit}", pins.read_text())
        pins.write_text(text)
    active = environment(tmp_path / "without", command)
    *_, said, test = commands(folder, VIRTUAL_ENV=active)
    expected = f"Using .venv and not the active environment {active}: {reason}"
    assert said.startswith(f'echo "{expected}')
    assert test.startswith('HF_HUB_OFFLINE=1 ".venv/bin/python" -m pytest')


def test_builds_of_a_version_and_the_names_of_conda_count_as_the_version(monkeypatch):
    """conda-forge calls faiss-cpu faiss, and its builds of torch 2.13.0.post1."""
    pins = PROJECT / "pyproject.toml"
    assert missing_pins(pins) == []
    versions = {"torch": "2.13.0.post301", "torchvision": "0.28.0+cpu"}
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "faiss-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return (
            known("faiss-cpu") if name == "faiss" else versions.get(name, known(name))
        )

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert missing_pins(pins) == []
    versions["torch"] = "2.13.1"
    assert missing_pins(pins) == ["its torch is 2.13.1, not 2.13.0"]
