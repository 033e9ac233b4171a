"""Images, names and masks count by name, size and date, or by content."""

import os
import shutil

import pytest

from vitproto.activations.image_digests import write_image_digests
from vitproto.core.files import sha256_of
from vitproto.core.hdf5_file import open_new, write_strings
from vitproto.freshness.digests import Digests
from vitproto.freshness.origins import ABSENT, GONE, have_same_sizes
from vitproto.freshness.raw_files import Contents, Files, Images, Names, look_again


@pytest.fixture
def known(tmp_path):
    return Digests(tmp_path / "digests.json")


@pytest.fixture
def root(tmp_path):
    """Five images in two folders, and the list of them."""
    root = tmp_path / "root"
    paths = [f"{folder}/{i}.jpg" for folder in ("a", "b") for i in range(3)][:5]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"image {path}")
    rows = [f"{i},{path}" for i, path in enumerate(paths)]
    (tmp_path / "images.csv").write_text("\n".join(["image_id,path", *rows, ""]))
    return root


def shards(root, n):
    return [Images("images", root, root.parent / "images.csv", i, n) for i in range(n)]


def digests(root, known, n=2):
    look_again()
    return [shard.digests(known).get("images") for shard in shards(root, n)]


def test_an_image_counts_in_its_shard_alone(root, known):
    before = digests(root, known)
    (root / "b/1.jpg").write_text("another, longer one")
    after = digests(root, known)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_date_counts_until_the_content_was_compared(root, known):
    before = digests(root, known)
    os.utime(root / "a/0.jpg", (1e9, 1e9))
    assert digests(root, known)[0] != before[0]


def test_where_the_folder_lies_does_not_count(root, known):
    before = digests(root, known)
    moved = root.parent / "elsewhere"
    shutil.move(root, moved)
    assert digests(moved, known) == before


def test_without_images_or_their_list_nothing_is_said(root, known):
    listed = root.parent / "images.csv"
    listed.rename(listed.with_name("elsewhere.csv"))
    assert digests(root, known) == [ABSENT, ABSENT]
    listed.with_name("elsewhere.csv").rename(listed)
    shutil.rmtree(root)
    assert digests(root, known) == [ABSENT, ABSENT]
    root.mkdir()  # as a disk that is not mounted
    assert digests(root, known) == [ABSENT, ABSENT]


def test_an_image_that_is_gone_counts(root, known):
    before = digests(root, known)
    (root / "a/0.jpg").unlink()
    after = digests(root, known)
    assert after[0] not in (before[0], ABSENT)
    assert after[1] == before[1]


def record(root, path):
    """Write a shard with the digests of its images."""
    names = sorted(str(file.relative_to(root)) for file in root.rglob("*.jpg"))
    with open_new(path) as file:
        write_strings(file, "image_ids", [str(i) for i in range(len(names))])
        write_image_digests(file, [sha256_of(root / name) for name in names])


def test_a_shard_says_what_images_held_whatever_their_dates(root, tmp_path, known):
    record(root, tmp_path / "shard.h5")
    (images,) = shards(root, 1)
    look_again()
    look = images.look()
    for file in root.rglob("*.jpg"):
        os.utime(file, (1e9, 1e9))
    look_again()
    assert images.look() != look
    recorded = images.recorded_in(tmp_path / "shard.h5")
    assert recorded == images.read(known)
    assert have_same_sizes(recorded, look)
    (root / "b/0.jpg").write_text("IMAGE b/0.jpg")
    look_again()
    assert images.recorded_in(tmp_path / "shard.h5") == recorded
    assert images.read(known) != recorded
    assert have_same_sizes(images.read(known), recorded)


def test_what_was_read_once_counts_by_content(root, known):
    (images,) = shards(root, 1)
    look_again()
    assert images.digests(known) == {"images": images.look()}
    content = images.read(known)
    assert images.digests(known) == {"images": content}
    os.utime(root / "a/0.jpg", (1e9, 1e9))
    look_again()
    assert images.digests(known) == {"images": images.look()}
    assert images.read(known) == content


def test_images_that_changed_places_are_others(root, known):
    (images,) = shards(root, 1)
    look_again()
    before = images.read(known)
    first, second = root / "a/0.jpg", root / "a/1.jpg"
    texts = first.read_text(), second.read_text()
    assert len(texts[0]) == len(texts[1])
    first.write_text(texts[1])
    second.write_text(texts[0])
    os.utime(first, (1e9, 1e9))
    look_again()
    assert images.read(known) != before


def test_one_that_is_gone_cannot_be_read(root, known):
    (root / "a/0.jpg").unlink()
    (images,) = shards(root, 1)
    look_again()
    assert images.read(known) is None


def test_a_shard_that_says_nothing_of_its_images_does_not_vouch(root, tmp_path):
    (images,) = shards(root, 1)
    look_again()
    assert images.recorded_in(tmp_path / "nothing.h5") is None
    with open_new(tmp_path / "shard.h5"):
        pass
    assert images.recorded_in(tmp_path / "shard.h5") is None


def test_images_that_changed_are_named(root, tmp_path):
    shard = tmp_path / "shard.h5"
    record(root, shard)
    (images,) = shards(root, 1)
    look_again()
    assert images.unlike(shard) == []
    os.utime(root / "a/0.jpg", (1e9, 1e9))
    (root / "a/1.jpg").unlink()
    (root / "b/0.jpg").write_text("another, longer one")
    look_again()
    assert images.unlike(shard) == ["a/1.jpg (gone)", "b/0.jpg"]
    # A shard of other images cannot tell.
    listed = images.images.read_text().splitlines()
    images.images.write_text("\n".join([*listed[:-2], listed[-1], ""]))
    look_again()
    assert images.unlike(shard) == []
    assert images.unlike(tmp_path / "none.h5") == []


def test_names_count_by_name_alone(root, known):
    names = Names("names", root)
    before = names.digests(known)
    (root / "a/0.jpg").write_text("another")
    (root / ".hidden").touch()
    look_again()
    assert names.digests(known) == before
    (root / "a/new.jpg").touch()
    look_again()
    assert names.digests(known) != before


def test_a_link_that_leads_back_ends(root, known):
    (root / "a/back").symlink_to(root)
    look_again()
    assert Names("names", root).digests(known)


def test_masks_count_by_content_whatever_their_dates(root, known):
    masks = Contents("masks", root)
    before = masks.digests(known)
    os.utime(root / "a/0.jpg", (1e9, 1e9))
    look_again()
    assert masks.digests(known) == before
    (root / "a/0.jpg").write_text("IMAGE a/0.jpg")
    look_again()
    assert masks.digests(known) != before


def test_what_is_gone_says_so(root, known):
    gone = root / "gone"
    assert Names("names", gone).digests(known) == {"names": GONE}
    assert Contents("masks", gone).digests(known) == {"masks": GONE}
    files = Files((("gone", gone), ("below", gone / "a"), ("there", root / "a/0.jpg")))
    found = files.digests(known)
    assert (found["gone"], found["below"]) == (GONE, GONE)
    assert found["there"] == known.of(root / "a/0.jpg")
