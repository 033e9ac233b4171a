"""Digests follow content, and files are read again only if their dates changed."""

import hashlib
import os
import time
from contextlib import contextmanager

import pytest

from vitproto.freshness import digests
from vitproto.freshness.digests import Digests

OLD_NS = time.time_ns() - 10**12

LOOK, OTHER_LOOK, CONTENT = (f"sum:{'a' * 64}:{n * 64}" for n in "012")
BAD_SUM = f'{{"files": [], "images": {{"{LOOK}": "gone"}}}}'


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "labels.txt"
    write(file, "abc")
    return file


def write(file, text):
    file.write_text(text)
    os.utime(file, ns=(OLD_NS, OLD_NS))


@pytest.fixture
def hashed(monkeypatch):
    """The files that were read."""
    monkeypatch.setattr(digests, "_FRESH_NS", 0)
    read = []
    hash_file = digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda f: read.append(f) or hash_file(f))
    return read


def test_a_digest_is_the_sha256_of_the_content(file, tmp_path):
    assert Digests(tmp_path / "d").of(file) == hashlib.sha256(b"abc").hexdigest()


def test_a_file_is_read_once_also_by_the_next_process(file, tmp_path, hashed):
    known = Digests(tmp_path / "d")
    assert known.of(file) == known.of(file)
    known.save()
    Digests(tmp_path / "d").of(file)
    assert hashed == [file]


def test_a_change_of_the_same_size_and_date_is_seen(file, tmp_path, hashed):
    """As by rsync with times, or an editor that puts the date back."""
    known = Digests(tmp_path / "d")
    known.of(file)
    time.sleep(0.02)
    write(file, "abd")
    assert known.of(file) == hashlib.sha256(b"abd").hexdigest()


def test_a_file_that_was_just_written_is_read_again(file, tmp_path):
    """It may change once more within one tick of the disk's clock."""
    known = Digests(tmp_path / "d")
    known.of(file)
    stat = file.stat()
    file.write_text("abd")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert known.of(file) == hashlib.sha256(b"abd").hexdigest()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": [[1]], "images": {}}', "{}", BAD_SUM]
)
def test_a_damaged_memory_is_no_more_than_forgotten(file, tmp_path, text):
    (tmp_path / "d").write_text(text)
    known = Digests(tmp_path / "d")
    assert known.of(file) == hashlib.sha256(b"abc").hexdigest()
    assert known.of_images(LOOK) is None


def test_a_memory_that_cannot_be_written_is_no_more_than_forgotten(file, tmp_path):
    (tmp_path / "d").mkdir()
    known = Digests(tmp_path / "d")
    known.note_images(LOOK, CONTENT)
    known.save()
    assert Digests(tmp_path / "d").of_images(LOOK) is None


def test_what_images_hold_is_remembered_until_it_is_in_doubt(tmp_path):
    known = Digests(tmp_path / "d")
    known.note_images(LOOK, CONTENT)
    known.note_images(OTHER_LOOK, CONTENT)
    known.save()
    again = Digests(tmp_path / "d")
    assert again.of_images(LOOK) == again.of_images(OTHER_LOOK) == CONTENT
    assert again.of_images(CONTENT) is None
    again.note_images(LOOK, None)
    again.note_images(LOOK, None)
    again.save()
    assert Digests(tmp_path / "d").of_images(LOOK) is None


def test_a_file_that_is_changed_and_changed_back_meanwhile_is_found(file, tmp_path):
    known = Digests(tmp_path / "d")
    other, text = tmp_path / "other", file.read_bytes()
    other.write_text("as it was")
    with known.watched() as changed:
        known.of(file)
        known.of(other)
        file.write_bytes(b"something else")
        file.write_bytes(text)
    assert changed == [file]
    with known.watched() as changed:
        known.of(file)
    assert changed == []


def test_a_full_disk_costs_no_more_than_reading_again(file, tmp_path, monkeypatch):
    @contextmanager
    def full(path):
        raise ValueError(f"{path} cannot be written: No space left on device")
        yield

    known = Digests(tmp_path / "d")
    known.of(file)
    monkeypatch.setattr(digests, "whole_file", full)
    known.save()
    assert not (tmp_path / "d").exists()
    assert Digests(tmp_path / "d").of(file) == hashlib.sha256(b"abc").hexdigest()
