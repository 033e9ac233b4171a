"""Folders with spaces, quotes and variables hold results like any others."""

import shutil

import pandas as pd
import yaml
from study_copy import copy_project, snakemake

TABLE = "results/tiny/tiny-vit/layer3/topk/ap.csv"
ODD = "it's a disk; $(touch gotcha) `touch gotcha` & more"


def test_storage_and_project_may_lie_anywhere(tmp_path, finished, monkeypatch):
    workdir = tmp_path / "a project of 'mine'"
    workdir.mkdir()
    copy_project(workdir)
    disk = tmp_path / ODD
    monkeypatch.setenv("DISK", str(disk))
    monkeypatch.setenv("HOME", str(tmp_path))
    study = yaml.safe_load((workdir / "tiny.yaml").read_text())
    study["storage"] = {
        "activations": "$DISK/activations",
        "checkpoints": "${DISK}/check points",
        "weights": "~/hub weights",
        "scores": f"~/{ODD}/scores",
    }
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    command = (TABLE, "--configfile", "tiny.yaml")
    shown = snakemake(workdir, *command)
    assert shown.returncode == 0, shown.stdout
    for folder in ("activations", "check points", "scores"):
        assert list((disk / folder).rglob("*.*")), folder
    assert list(tmp_path.rglob("gotcha")) == []
    assert not (workdir / "results/activations").exists()
    pd.testing.assert_frame_equal(
        pd.read_csv(workdir / TABLE), pd.read_csv(finished / TABLE)
    )
    assert "Nothing to be done" in snakemake(workdir, *command).stdout

    # What a variable holds may move, and everything with it.
    moved = tmp_path / "moved"
    shutil.move(disk, moved)
    monkeypatch.setenv("DISK", str(moved))
    study["storage"]["scores"] = "$DISK/scores"
    (workdir / "tiny.yaml").write_text(yaml.safe_dump(study))
    shown = snakemake(workdir, *command, "-n")
    assert shown.returncode == 0, shown.stdout
