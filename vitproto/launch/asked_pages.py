"""Pages that a reader asks for: a trait's, or some prototypes', without an edit."""

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vitproto.core.project import PROJECT
from vitproto.study.run_table import StudyRun, expand_runs


def target_of_traits(study: Mapping[str, Any]) -> Path:
    """The folder with the pages of all traits of a study.

    Raises:
        ValueError: the study looks for no traits.
    """
    if "selection" not in study:
        raise ValueError(
            f"the study {study['study']} looks for no traits: name one with `selection`"
        )
    return Path("results", study["study"], "traits")


def find_trait(folder: Path, trait: str) -> Path:
    """The page of a trait, once the pages are there.

    Raises:
        ValueError: there is no such trait; with names that are like it.
    """
    pages = json.loads((folder / "pages.json").read_text(encoding="utf-8"))
    if trait not in pages:
        raise ValueError(
            f"the study has no trait {trait!r}{_suggest(trait, pages)}: "
            f"{folder / 'index.html'} lists all {len(pages)}"
        )
    return folder / pages[trait]


def target_of_prototypes(study: Mapping[str, Any], run: str, prototypes: str) -> Path:
    """The folder with the page of some prototypes of a run.

    Args:
        study: the resolved configuration.
        run: a run of the study: `clip/layer3/topk/k512-sparsity8-seed0`.
        prototypes: their numbers: `52,107`.

    Raises:
        ValueError: the study has no such run, or the run has no such prototype.
    """
    runs = {_name(row): row for row in expand_runs(study["runs"], study["encoders"])}
    if run not in runs:
        raise ValueError(
            f"the study {study['study']} has no run {run!r}{_suggest(run, runs)}: "
            "`make runs` lists its runs; write ENCODER/layerN/METHOD/RUN"
        )
    n_prototypes = runs[run].run.n_prototypes
    numbers = []
    for text in prototypes.split(","):
        if not text.strip().isdecimal() or int(text) >= n_prototypes:
            raise ValueError(
                f"{run} has no prototype {text.strip()!r}: write numbers from 0 to "
                f"{n_prototypes - 1} with commas between them, such as 0,1"
            )
        numbers.append(int(text))
    family, _, name = run.rpartition("/")
    asked = ",".join(map(str, sorted(set(numbers))))
    return Path("results", study["study"], family, "features", f"{name}+{asked}")


def make(target: Path, config: Path) -> None:
    """Run what is missing or stale of a result, as a run of the study would.

    The environment variable PROFILE names the profile, such as profiles/slurm.

    Raises:
        SystemExit: the run failed; Snakemake said why.
    """
    profile = os.environ.get("PROFILE")
    words = ["snakemake", str(target), "--configfile", str(config)]
    words += ["--profile", profile] if profile else ["--cores", "all"]
    status = subprocess.run([sys.executable, "-m", *words], cwd=PROJECT).returncode
    if status != 0:
        sys.exit(status)


def _name(row: StudyRun) -> str:
    return f"{row.family}/{row.run.name}"


def _suggest(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return f" (perhaps {' or '.join(near)})" if near else ""
