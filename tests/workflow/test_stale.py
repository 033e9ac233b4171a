"""Results know their origin: what is stale is found without Snakemake's memory."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from study_copy import FEATURES, environment, snakemake

LAYER = "results/tiny/tiny-vit/layer3"


def find_stale(workdir: Path) -> tuple[int, str]:
    """The exit status and what is said of a study without Snakemake's memory."""
    shutil.rmtree(workdir / ".snakemake", ignore_errors=True)
    shown = subprocess.run(
        [sys.executable, "scripts/find_stale.py", "tiny.yaml"],
        cwd=workdir,
        env=environment(workdir),
        capture_output=True,
        text=True,
    )
    assert shown.returncode in (0, 1), shown.stderr
    assert shown.stdout, shown.stderr
    return shown.returncode, shown.stdout


def commands(said: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^  snakemake (.*)", said, re.M)]


def rules_run(shown: str) -> list[str]:
    return sorted(re.findall(r"^(?:local)?rule (\w+):", shown, re.M))


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def add_line(file: Path) -> None:
    file.write_text(file.read_text() + "\n")


def set_key(workdir: Path, *path: str, to: object) -> None:
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    section = study
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = to
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))


def contents(workdir: Path) -> dict[str, bytes]:
    """All results but what jobs said."""
    return {
        str(file.relative_to(workdir)): file.read_bytes()
        for file in (workdir / "results").rglob("*")
        if file.is_file() and "logs" not in file.parts
    }


def test_a_finished_study_is_fresh_however_it_is_touched_and_run(workdir):
    for part in ("vitproto", "scripts"):
        for file in (workdir / part).rglob("*.py"):
            file.write_text(file.read_text() + "\n# a comment\n\n\nUNUSED = 1\n")
    for file in workdir.rglob("*"):
        file.touch()
    set_key(workdir, "how", "batch_size", to=64)
    set_key(workdir, "how", "device", to="auto")
    set_key(workdir, "datasets", "tiny_birds", "n_shards", to=3)
    status, said = find_stale(workdir)
    assert "\n0 of " in f"\n{said}"
    assert "Not made yet: record_activations 3, " in said
    assert commands(said) == []
    assert status == 0


def test_the_command_reruns_just_what_is_stale(workdir):
    """Also where results were copied without their dates."""
    for n, file in enumerate(sorted((workdir / "results").rglob("*"))):
        os.utime(file, (1e9 + n, 1e9 + n))
    replace(
        workdir / "vitproto/report/map_chart.py",
        'axis.set_xscale("log")',
        'axis.set_xscale("linear")',
    )
    set_key(workdir, "features", "n_images", to=2)
    status, said = find_stale(workdir)
    assert status == 1
    charts = "results/tiny/map_chart.png and 1 more\n    vitproto/report/map_chart.py: "
    assert re.search(rf"^plot_map: {re.escape(charts)}\w+ changed$", said, re.M)
    assert f"show_features: {FEATURES}\n    n_images: 3 → 2\n" in said
    assert "What is made of these is stale too: write_map_page 1\n" in said
    assert "4 of " in said

    before = contents(workdir)
    set_dates, rerun = commands(said)
    assert snakemake(workdir, *set_dates).returncode == 0
    assert contents(workdir) == before
    shown = snakemake(workdir, *rerun)
    assert shown.returncode == 0, shown.stdout
    assert rules_run(shown.stdout) == ["plot_map", "show_features", "write_map_page"]
    after = contents(workdir)
    changed = {file for file in before if after.get(file) != before[file]}
    notes = {f"results/tiny/.origins/map_chart.{kind}.json" for kind in ("png", "svg")}
    assert notes < changed
    made = ("map_chart", "index.html", "features/")
    assert all(any(name in file for name in made) for file in changed)
    status, said = find_stale(workdir)
    assert said.startswith("0 of ")
    assert status == 0


def test_without_its_note_a_job_that_failed_leaves_no_result(workdir):
    replace(
        workdir / "vitproto/report/map_chart.py",
        'axis.set_xscale("log")',
        'raise OSError("the disk is full")',
    )
    _, said = find_stale(workdir)
    (rerun,) = commands(said)
    assert snakemake(workdir, *rerun).returncode != 0
    assert not (workdir / "results/tiny/map_chart.png").exists()
    assert not (workdir / "results/tiny/.origins/map_chart.png.json").exists()
    assert (workdir / "results/tiny/.origins/map_table.md.json").exists()


@pytest.mark.parametrize(
    ("edit", "stale", "n_stale", "why"),
    [
        (
            lambda workdir: replace(
                workdir / "vitproto/data/cub200_traits.py",
                "PROBABLY = 3",
                "PROBABLY = 2",
            ),
            ["read_traits"],
            1 + 8 + 17,
            "vitproto/data/cub200_traits.py: PROBABLY changed",
        ),
        (
            lambda workdir: set_key(workdir, "methods", "kmeans", "n_iters", to=4),
            ["fit_kmeans"],
            2 + 2 + 2 + 17 + 1,
            "n_iters: 5 → 4",
        ),
        (
            lambda workdir: add_line(workdir / "encoders/demo/open_clip_config.json"),
            ["record_activations"],
            3 + 53,
            "the file open_clip_config.json changed",
        ),
    ],
    ids=["a definition", "a setting", "a file of the encoder"],
)
def test_what_changed_is_named(workdir, edit, stale, n_stale, why):
    edit(workdir)
    status, said = find_stale(workdir)
    assert status == 1
    found = re.findall(r"^(\w+): \S+(?: and \d+ more)?\n    (.*)$", said, re.M)
    assert found == [(rule, why) for rule in stale]
    assert said.startswith(f"{n_stale} of ")


def test_results_made_of_an_earlier_input_are_stale(workdir):
    """A family that was made again, while the tables above it were not."""
    set_key(workdir, "selection", "seeds", to=[0, 2])
    family = f"{LAYER}/pca/ap.csv"
    options = ("--configfile", "tiny.yaml", "--forcerun", family)
    assert snakemake(workdir, family, *options).returncode == 0
    _, said = find_stale(workdir)
    earlier = "select_prototypes encoder=tiny-vit layer=3 method=pca"
    assert f"    it was made of an earlier {earlier}\n" in said
    assert "select_prototypes: results/tiny/tiny-vit/layer1/random/ap.csv" in said
    assert "and 6 more\n    selection_seeds: 0 1 → 0 2\n" in said


def test_results_without_a_note_are_named(workdir):
    shutil.rmtree(workdir / LAYER / "pca/.origins")
    status, said = find_stale(workdir)
    assert status == 1
    assert said.startswith("0 of ")
    assert "Nothing says where 3 results come from: fit_pca 1, score" in said
    (rerun,) = commands(said)
    assert rerun[rerun.index("--forcerun") + 1 :] == ["fit_pca"]
