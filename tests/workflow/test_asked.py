"""Pages that are asked for without an edit of the configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

from study_copy import rules_to_run

RUN = "tiny-vit/layer3/kmeans"


def ask(workdir, stage, *words):
    """The page that a script names, as it does in `make trait` and `make show`."""
    environment = {**os.environ, "PYTHONPATH": str(workdir)}
    script = workdir / "scripts" / f"{stage}.py"
    shown = subprocess.run(
        [sys.executable, script, "tiny.yaml", *words],
        cwd=workdir,
        env=environment,
        capture_output=True,
        text=True,
    )
    return shown.returncode, shown.stdout, shown.stderr


def page_in(said):
    return Path(unquote(urlparse(said.strip().splitlines()[-1]).path))


def test_a_trait_is_found_by_its_name_and_a_misspelt_one_starts_nothing(workdir):
    status, said, log = ask(workdir, "open_trait", "has_size::large_(16_-_32_in)")
    assert status == 0, log
    page = page_in(said)
    assert page.is_relative_to(workdir / "results/tiny/traits")
    assert "<h1>has_size::large_(16_-_32_in)" in page.read_text()
    status, _, log = ask(workdir, "open_trait", "has_size::larje")
    assert status == 1
    assert "has no trait 'has_size::larje' (perhaps has_size::large" in log
    assert "Building DAG" not in log


def test_prototypes_are_shown_and_the_pages_of_the_study_stay(workdir):
    (family,) = {
        f.parent.parent for f in workdir.glob(f"results/tiny/{RUN}/features/*")
    }
    name = json.loads((family / "checkpoints.json").read_text())["runs"][0]["name"]
    status, said, log = ask(workdir, "open_prototypes", f"{RUN}/{name}", "3,0")
    assert status == 0, log
    page = page_in(said)
    assert page.parent.name == f"{name}+0,3"
    told = json.loads((page.parent / "features.json").read_text())
    shown = [feature["prototype"] for feature in told["prototypes"]]
    assert shown == [0, 3]
    assert rules_to_run(workdir) == []
