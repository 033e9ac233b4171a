"""Files appear complete or not at all."""

import os

import pytest
from owners import ended_owner, owner_of

from vitproto.core.files import whole_file
from vitproto.core.folders import whole_folder


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with whole_file(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        assert partial.suffix == path.suffix
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail():
        with whole_file(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_it_is_whole_and_a_failed_one_never(tmp_path):
    path = tmp_path / "new" / "pages"
    with whole_folder(path) as partial:
        (partial / "index.html").write_text("half")
        assert not path.exists()
    assert (path / "index.html").read_text() == "half"
    with pytest.raises(ValueError, match="pages already exists: remove it"):
        whole_folder(path).__enter__()

    def fail():
        with whole_folder(tmp_path / "other") as partial:
            (partial / "index.html").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in tmp_path.rglob("*")] == ["new", "pages", "index.html"]


def test_two_jobs_may_write_the_same_file_at_once(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    with whole_file(path) as first:
        first.write_text("half")
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: 7)
            with whole_file(path) as second:
                assert second != first
                second.write_text("whole")
        assert path.read_text() == "whole"
        first.write_text("whole too")
    assert path.read_text() == "whole too"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_jobs_left_of_a_file_is_deleted(tmp_path):
    """But not files that other jobs are writing, here or elsewhere."""
    path = tmp_path / "shard.h5"
    names = [ended_owner(), "an-old-host-7", owner_of(os.getppid()), "another-host-7"]
    left, old, *others = (tmp_path / f".partial-{name}-shard.h5" for name in names)
    for file in (left, old, *others):
        file.write_text("half")
    os.utime(old, (0, 0))
    with whole_file(path) as partial:
        partial.write_text("whole")
    assert {*tmp_path.iterdir()} == {path, *others}


def test_what_a_killed_job_left_of_a_folder_is_deleted(tmp_path):
    left = tmp_path / f".partial-{ended_owner()}-pages"
    other = tmp_path / f".partial-{owner_of(os.getppid())}-pages"
    for folder in (left, other):
        folder.mkdir()
        (folder / "index.html").write_text("half")
    with whole_folder(tmp_path / "pages") as partial:
        (partial / "index.html").write_text("whole")
    assert {*tmp_path.iterdir()} == {tmp_path / "pages", other}


def test_a_folder_in_place_of_a_file_is_refused_before_the_work(tmp_path):
    path = tmp_path / "shard.h5"
    path.mkdir()
    (path / "mine.txt").touch()
    began = False
    with (
        pytest.raises(ValueError, match="shard.h5 is a folder where a file is to be"),
        whole_file(path),
    ):
        began = True
    assert not began
    assert [file.name for file in tmp_path.iterdir()] == ["shard.h5"]
    assert (path / "mine.txt").is_file()
