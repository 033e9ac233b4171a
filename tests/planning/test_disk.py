"""A disk that is too small for a study is named, with what to change."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from vitproto.planning import disk
from vitproto.planning.costs.job import Written

GIGA = 10**9
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """Say how much is free on the disk of each folder; all are on one by default."""

    def set_free(n_bytes):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: Usage(10 * n_bytes, 0, n_bytes)
        )

    return set_free


def needs(tmp_path: Path, *written: Written) -> list[disk.Need]:
    storage = {
        "activations": str(tmp_path / "a/b"),
        "checkpoints": str(tmp_path / "c"),
        "scores": str(tmp_path / "s"),
        "weights": str(tmp_path / "d"),
    }
    return disk.Need.of(written, storage, "results")


def test_folders_on_one_disk_share_what_is_free_there(tmp_path, monkeypatch, free):
    monkeypatch.chdir(tmp_path)
    wanted = needs(tmp_path, Written(3 * GIGA, 2 * GIGA, 1 * GIGA))
    free(6 * GIGA)
    assert disk.shortages(wanted) == []
    free(6 * GIGA - 1)
    (sentence,) = disk.shortages(wanted)
    assert sentence == (
        f"a disk is too small: jobs write 3 GB to {tmp_path}/a/b, 2 GB to "
        f"{tmp_path}/c, 1 GB to results, but only 6 GB are free there: set storage: "
        "activations to a folder on a larger one, or make room"
    )
    assert not (tmp_path / "a").exists()


def test_scores_go_to_a_folder_of_their_own_where_there_are_any(tmp_path):
    wanted = needs(tmp_path, Written(scores=184 * GIGA), Written(scores=GIGA))
    sizes = {str(need.folder): (need.n_bytes, need.cure) for need in wanted}
    assert sizes[f"{tmp_path}/s"] == (185 * GIGA, "storage: scores")
    of_segmentation = {"activations": "a", "checkpoints": "c", "weights": "w"}
    needed = disk.Need.of([Written(1, 2, 3, weights=4)], of_segmentation, "results")
    assert [need.n_bytes for need in needed] == [1, 2, 4, 3]


def test_each_disk_is_judged_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scratch = tmp_path / "a"
    scratch.mkdir()
    real_stat = disk.os.stat

    def stat(path, *args, **kwargs):
        found = real_stat(path, *args, **kwargs)
        if Path(path) != scratch:
            return found
        return namedtuple("Stat", "st_dev")(found.st_dev + 1)

    monkeypatch.setattr(disk.os, "stat", stat)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: Usage(0, 0, 10 * GIGA if Path(path) == scratch else GIGA),
    )
    assert disk.shortages(needs(tmp_path, Written(9 * GIGA, 0, GIGA))) == []
    (sentence,) = disk.shortages(needs(tmp_path, Written(11 * GIGA, 0, GIGA)))
    assert "set storage: activations to a folder" in sentence
    (sentence,) = disk.shortages(needs(tmp_path, Written(9 * GIGA, 0, 2 * GIGA)))
    assert "make results a link to a folder on a larger one" in sentence


def test_of_what_jobs_need_only_while_they_run_the_largest_counts(tmp_path):
    jobs = [Written(results=1, scratch=10), Written(results=2, scratch=30)]
    assert needs(tmp_path, *jobs)[-1].n_bytes == 1 + 2 + 30
