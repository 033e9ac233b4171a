"""The two lists of dependencies agree, and conda can read its own."""

import re
import tomllib

import yaml
from rattler import MatchSpec

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
