"""Images count by content, and are read only if it may matter."""

import os
from dataclasses import replace

import pytest

from vitproto.activations.image_digests import write_image_digests
from vitproto.activations.sharding import shard_range
from vitproto.core.files import sha256_of
from vitproto.core.hdf5_file import open_new
from vitproto.freshness import raw_files
from vitproto.freshness.digests import Digests
from vitproto.freshness.image_contents import look_into, remember, with_recorded
from vitproto.freshness.origins import (
    Note,
    Origin,
    above,
    differences,
    differences_above,
)
from vitproto.freshness.raw_files import Images, look_again

WHAT = "an image of birds"
N_IMAGES = 6


class Birds:
    """A few images, recorded in shards, and a table made from these."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "birds"
        self.root.mkdir()
        for i in range(N_IMAGES):
            (self.root / f"{i}.jpg").write_text(f"image {i}")
        rows = [f"{i},{i}.jpg" for i in range(N_IMAGES)]
        (folder / "images.csv").write_text("\n".join(["image_id,path", *rows, ""]))
        self.digests = Digests(folder / "digests.json")

    def images(self, n_shards):
        listed = self.folder / "images.csv"
        return [Images(WHAT, self.root, listed, i, n_shards) for i in range(n_shards)]

    def today(self, images):
        """Each shard's origin today, before images are read."""
        look_again()
        return [origin("record", files=each.digests(self.digests)) for each in images]

    def record(self, n_shards=2):
        """The notes of shards that are recorded now."""
        notes = []
        for images, today in zip(
            self.images(n_shards), self.today(self.images(n_shards)), strict=True
        ):
            shard = self.folder / "shard.h5"
            mine = shard_range(N_IMAGES, images.i_shard, n_shards)
            with open_new(shard) as file:
                read = [sha256_of(self.root / f"{i}.jpg") for i in mine]
                write_image_digests(file, read)
            notes.append(Note(*_swap(with_recorded([images], shard, today))))
        return notes

    def compare(self, notes, table, n_shards=2):
        """The changes of each shard with a note, and of the table."""
        images = self.images(n_shards)
        remember(filter(None, notes), self.digests)
        noted = [note and note.origin for note in notes]
        found = look_into(
            [*self.today(images), origin("tabulate")],
            [*([each] for each in images), []],
            [*noted, table],
            self.digests,
        )
        shards = [
            differences(then, now) if then else None
            for then, now in zip(noted, found[:-1], strict=True)
        ]
        return shards, differences_above(table, tabulate(found[:-1]))


def _swap(recorded):
    origin, looks = recorded
    return origin, "", looks


def origin(rule, files=None, **others):
    return replace(
        Origin(rule, {}, "", {}, {}, "f", files or {}, {}, {}, by_content=False),
        **others,
    )


def tabulate(shards):
    jobs, files = above(shards, {})
    return origin("tabulate", jobs_above=jobs, files_above=files)


@pytest.fixture
def birds(tmp_path):
    return Birds(tmp_path)


@pytest.fixture
def reads(monkeypatch):
    """The names of the images that are read."""
    found = []

    def read(path):
        found.append(path.name)
        return sha256_of(path)

    raw_files._content.cache_clear()
    monkeypatch.setattr(raw_files, "sha256_of", read)
    return found


def touch(birds, *places, date=1e9):
    for i in places or range(N_IMAGES):
        os.utime(birds.root / f"{i}.jpg", (date, date))


CHANGED = [f"{WHAT} (record) changed"]


def test_what_was_recorded_is_known_without_a_look_inside(birds, reads):
    notes = birds.record()
    table = tabulate([note.origin for note in notes])
    assert birds.compare(notes, table) == ([[], []], [])
    assert birds.compare([None, None], table) == ([None, None], [])  # shards deleted
    birds.digests = Digests(birds.folder / "of another clone.json")
    assert birds.compare(notes, table) == ([[], []], [])
    assert reads == []


def test_dates_alone_change_nothing_with_shards_or_without(birds, reads):
    notes = birds.record()
    table = tabulate([note.origin for note in notes])
    touch(birds, 0)
    assert birds.compare(notes, table) == ([[], []], [])
    assert reads == ["0.jpg", "1.jpg", "2.jpg"]  # those of its shard
    touch(birds, date=1.1e9)
    assert birds.compare([None, None], table) == ([None, None], [])
    assert sorted(reads[3:]) == [f"{i}.jpg" for i in range(N_IMAGES)]
    assert birds.compare([None, None], table) == ([None, None], [])
    assert len(reads) == 3 + N_IMAGES  # once


def test_content_of_the_same_size_counts_once_dates_say_so(birds, reads):
    notes = birds.record()
    table = tabulate([note.origin for note in notes])
    (birds.root / "4.jpg").write_text("IMAGE 4")
    touch(birds, 4)
    changed = [[], [f"{WHAT} changed"]], CHANGED
    assert birds.compare(notes, table) == changed
    assert birds.compare([None, None], table) == ([None, None], CHANGED)
    (birds.root / "4.jpg").write_text("image 4")
    touch(birds, 4, 5, date=1.2e9)
    assert birds.compare([None, None], table) == ([None, None], [])


def test_sizes_tell_without_a_look_inside(birds, reads):
    notes = birds.record()
    table = tabulate([note.origin for note in notes])
    (birds.root / "4.jpg").write_text("another image")
    changed = [[], [f"{WHAT} changed"]], CHANGED
    assert birds.compare(notes, table) == changed
    (birds.root / "1.jpg").unlink()
    changed = [[f"{WHAT} changed"], [f"{WHAT} changed"]], CHANGED
    assert birds.compare(notes, table) == changed
    assert birds.compare([None, None], table) == ([None, None], CHANGED)
    assert reads == []


def test_images_of_which_nothing_was_made_are_not_read(birds, reads):
    assert birds.compare([None, None], origin("tabulate"))[0] == [None, None]
    assert reads == []


def test_shards_can_be_cut_otherwise_without_a_look_inside(birds, reads):
    notes = birds.record(n_shards=2)
    table = tabulate([note.origin for note in notes])
    birds.compare(notes, table)
    assert birds.compare([None] * 3, table, n_shards=3) == ([None] * 3, [])
    first, *others = birds.record(n_shards=3)
    some = [first, *[None] * len(others)]
    assert birds.compare(some, table, n_shards=3) == ([[], None, None], [])
    assert reads == []
    touch(birds, 5)
    assert birds.compare(some, table, n_shards=3) == ([[], None, None], [])
    assert sorted(reads) == ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]


def test_notes_that_contradict_each_other_send_to_the_images(birds, reads):
    """Between two recordings an image was replaced by one of its size and date."""
    touch(birds)
    before = birds.record(n_shards=1)
    (birds.root / "0.jpg").write_text("IMAGE 0")
    touch(birds)
    after = birds.record(n_shards=1)
    (images,) = birds.images(1)
    for notes in ([*before, *after], [*after, *before]):
        remember(notes, birds.digests)
        assert birds.digests.of_images(images.look()) is None
        assert images.read(birds.digests) == after[0].origin.files[WHAT]
    remember(before, birds.digests)
    assert birds.digests.of_images(images.look()) == before[0].origin.files[WHAT]


def test_a_note_that_says_no_digest_of_images_is_not_believed(birds, reads):
    (note,) = birds.record(n_shards=1)
    (images,) = birds.images(1)
    for damaged in ("gone", "sum:1:2"):
        origin = replace(note.origin, files={WHAT: damaged})
        remember([replace(note, origin=origin)], birds.digests)
        assert birds.digests.of_images(images.look()) is None
