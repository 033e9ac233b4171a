"""Copies of the project that tests may run, edit and break."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PARTS = (
    "Snakefile",
    "CITATION.cff",
    "workflow",
    "config",
    "profiles",
    "scripts",
    "vitproto",
    "encoders",
)
FEATURES = "results/tiny/tiny-vit/layer3/kmeans/features/k4-seed0"
TARGETS = (
    *("results/tiny/map_table.md", "results/tiny/index.html", FEATURES),
    *("results/tiny/sae_table.md", "results/tiny/sae_curves.png"),
    *("results/tiny/sae_front.png", "results/tiny/sae_frequencies.png"),
)


def copy_project(folder: Path) -> Path:
    """The project without its results, with the tiny studies beside the Snakefile."""
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy2(source, folder / part)
    for study in ("tiny.yaml", "tiny_scenes.yaml"):
        shutil.copy2(PROJECT / "tests/workflow" / study, folder / study)
    copy_kernels(PROJECT, folder)
    return folder


def copy_kernels(source: Path, target: Path) -> None:
    """Copy compiled kernels, which takes less time than to compile them again.

    Each holds a digest of its sources, so one of other sources is compiled again.
    """
    for kernel in source.glob("vitproto/**/__pycache__/*.nb[ci]"):
        copy = target / kernel.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        partial = copy.with_suffix(f".{os.getpid()}")  # other tests may read meanwhile
        shutil.copy2(kernel, partial)
        partial.replace(copy)


def environment(workdir: Path) -> dict[str, str]:
    """Commands find this Python, and the package of the copy before ours."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(workdir),
        "HF_HUB_OFFLINE": "1",
    }


def snakemake(workdir: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a copy, on this machine unless a profile or a number of cores
    is given; its whole output is in `stdout`."""
    says_where = {"--profile", "--cores"} & {*args}
    here = () if says_where else ("--profile", "profiles/local")
    return subprocess.run(
        ["snakemake", *args, *here],
        cwd=workdir,
        env=environment(workdir),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def find(workdir: Path, pattern: str) -> str:
    """The one file of that pattern, below `workdir`: paths hold digests of settings."""
    (path,) = workdir.glob(pattern)
    return str(path.relative_to(workdir))


def rules_to_run(workdir: Path) -> list[str]:
    """The rules of the jobs that a run of the tiny study would run, sorted."""
    shown = snakemake(workdir, *TARGETS, "-n", "--configfile", "tiny.yaml")
    assert shown.returncode == 0, shown.stdout
    return sorted(re.findall(r"^(?:local)?rule (\w+):", shown.stdout, re.MULTILINE))
