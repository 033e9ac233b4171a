"""Sentences about stale results name what changed."""

import os
from pathlib import Path

import pytest

from vitproto.activations.image_digests import write_image_digests
from vitproto.core.files import sha256_of
from vitproto.core.hdf5_file import open_new, write_strings
from vitproto.freshness.raw_files import Images, look_again
from vitproto.freshness.stale_text import describe_stale
from vitproto.freshness.staleness import Job, Verdict

WHAT = "an image of birds"


@pytest.fixture
def recorded(tmp_path) -> Job:
    """The job that recorded some images."""
    names = [f"{i:02}.jpg" for i in range(15)]
    rows = ["image_id,path", *(f"{i},{name}" for i, name in enumerate(names)), ""]
    (tmp_path / "images.csv").write_text("\n".join(rows))
    root, shard = tmp_path / "birds", tmp_path / "shard.h5"
    root.mkdir()
    for name in names:
        (root / name).write_text(f"image {name}")
    with open_new(shard) as file:
        write_strings(file, "image_ids", [str(i) for i in range(len(names))])
        write_image_digests(file, [sha256_of(root / name) for name in names])
    return Job(
        rule="record_activations",
        room="",
        wildcards={},
        command="",
        settings={},
        files=(),
        raw=(Images(WHAT, root, tmp_path / "images.csv", 0, 1),),
        outputs=(Path(shard),),
        needs={},
        by_content=False,
        is_wanted=True,
        is_forced=False,
    )


def names_said(job: Job, change: str) -> list[str]:
    look_again()
    said = describe_stale([job], Verdict(changed={0: (change,)}))
    _, _rule, sentence, *names = said.splitlines()[1:]
    assert sentence == f"    {change}"
    return [name.removeprefix("        ") for name in names]


def test_images_that_changed_are_named_and_of_many_a_few(recorded):
    root = recorded.raw[0].root
    (root / "03.jpg").write_text("IMAGE 03.jpg")
    (root / "05.jpg").unlink()
    os.utime(root / "07.jpg", (1e9, 1e9))
    expected = ["03.jpg", "05.jpg (gone)"]
    assert names_said(recorded, f"{WHAT} changed") == expected
    for file in root.iterdir():
        file.write_text("another")
    *_, last = found = names_said(recorded, f"{WHAT} changed")
    assert len(found) == 11
    assert last == "and 5 more"


def test_where_something_else_changed_no_image_is_looked_at(recorded, monkeypatch):
    monkeypatch.setattr(Images, "unlike", lambda *_: 1 / 0)
    assert names_said(recorded, f"{WHAT}2 changed") == []
    assert names_said(recorded, "dtype: float16 → float32") == []
