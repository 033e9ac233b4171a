import logging
import os
import runpy

import pytest

from vitproto.core.project import PROJECT
from vitproto.data.image_folder import read_images
from vitproto.data.image_list import COLUMNS, read_image_list, read_splits


def _fill(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def _rows(root):
    images = read_images(root)
    assert list(images.columns) == COLUMNS
    return list(images.itertuples(index=False, name=None))


def test_each_folder_is_a_class_and_all_images_are_for_training(tmp_path):
    _fill(tmp_path, "b/2.jpg", "b/1.JPG", "a/x.y.png", "a/notes.txt")
    assert _rows(tmp_path) == [
        ("a/x.y", "a/x.y.png", "train", "a"),
        ("b/1", "b/1.JPG", "train", "b"),
        ("b/2", "b/2.jpg", "train", "b"),
    ]


def test_images_without_folders_and_folders_within_folders_are_found(tmp_path):
    _fill(tmp_path, "z.jpeg", "m/deep down/a.webp", "m/b.tif")
    assert _rows(tmp_path) == [
        ("z", "z.jpeg", "train", ""),
        ("m/b", "m/b.tif", "train", "m"),
        ("m/deep down/a", "m/deep down/a.webp", "train", "m/deep down"),
    ]


def test_what_is_left_out_is_counted_by_its_suffix(tmp_path, caplog):
    _fill(tmp_path, "a/1.jpg", "a/1.xmp", "a/2.gif", "b/2.XMP", "b/notes", "b/3.jfif")
    with caplog.at_level(logging.INFO):
        assert [path for _, path, *_ in _rows(tmp_path)] == [
            *("a/1.jpg", "a/2.gif", "b/3.jfif")
        ]
    assert caplog.messages == [
        "left out, since their suffix is not that of an image: 2 .xmp, 1 without suffix"
    ]
    caplog.clear()
    (tmp_path / "a/1.xmp").unlink()
    (tmp_path / "b/2.XMP").unlink()
    (tmp_path / "b/notes").unlink()
    _rows(tmp_path)
    assert caplog.messages == []


def test_hidden_files_and_folders_are_left_out(tmp_path):
    _fill(tmp_path, "a/1.jpg", "a/._1.jpg", ".thumbnails/2.jpg", "__MACOSX/a/._1.jpg")
    assert [row[0] for row in _rows(tmp_path)] == ["a/1"]


def test_folders_named_train_and_test_are_splits(tmp_path):
    _fill(tmp_path, "test/b/2.jpg", "train/a/1.jpg", "train/3.jpg", ".git/x")
    assert _rows(tmp_path) == [
        ("test/b/2", "test/b/2.jpg", "test", "b"),
        ("train/3", "train/3.jpg", "train", ""),
        ("train/a/1", "train/a/1.jpg", "train", "a"),
    ]


@pytest.mark.parametrize("others", [["train", "val"], ["train", "test", "val"]])
def test_any_other_folders_are_classes(tmp_path, others):
    _fill(tmp_path, *(f"{name}/{name}.jpg" for name in others))
    assert {row[2:] for row in _rows(tmp_path)} == {("train", name) for name in others}


def test_the_order_does_not_come_from_the_file_system(tmp_path, monkeypatch):
    _fill(tmp_path, *(f"{c}/{i}.jpg" for c in "cab" for i in range(5)))
    expected = _rows(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, folder):
            self.entries = sorted(scandir(folder), key=lambda e: e.name, reverse=True)

        def __enter__(self):
            return self.entries

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert _rows(tmp_path) == expected


def test_links_to_images_and_folders_are_followed(tmp_path):
    _fill(tmp_path / "elsewhere", "1.jpg", "more/2.jpg")
    root = _fill(tmp_path / "root", "a/3.jpg")
    (root / "a" / "1.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (root / "linked").symlink_to(tmp_path / "elsewhere" / "more")
    assert [row[1] for row in _rows(root)] == ["a/1.jpg", "a/3.jpg", "linked/2.jpg"]


def test_a_link_that_leads_back_is_refused(tmp_path):
    _fill(tmp_path, "a/1.jpg")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="a/again is a link that leads back to"):
        read_images(tmp_path)


def test_a_link_that_leads_nowhere_is_refused(tmp_path):
    _fill(tmp_path, "a/1.jpg")
    (tmp_path / "a" / "2.jpg").symlink_to(tmp_path / "gone.jpg")
    os.mkfifo(tmp_path / "a/3.jpg")
    (tmp_path / "4.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match="link") as said:
        read_images(tmp_path)
    assert str(said.value).splitlines() == [
        f"{tmp_path}/4.jpg is a link that leads nowhere",
        f"{tmp_path}/a/2.jpg is a link that leads nowhere",
        f"{tmp_path}/a/3.jpg is not a file: remove it",
    ]


def test_a_folder_without_images_is_refused_with_what_was_looked_for(tmp_path):
    _fill(tmp_path, "a/1.txt", "a/.2.jpg")
    with pytest.raises(ValueError, match=r"holds no images: looked for .*\.jpg"):
        read_images(tmp_path)


def test_images_that_would_share_an_id_are_refused(tmp_path):
    _fill(tmp_path, "a/1.jpg", "a/1.png", "a/2.jpg")
    with pytest.raises(ValueError, match=r"holds a/1\.jpg and a/1\.png"):
        read_images(tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    with pytest.raises(ValueError, match=r"udcff\.jpg', a name that is not UTF-8"):
        read_images(tmp_path)


def test_what_is_found_survives_the_way_through_the_two_files(tmp_path):
    root = _fill(tmp_path / "root", "train/NA/007.jpg", 'test/a, "b"/ü.jpg')
    files = tmp_path / "images.csv", tmp_path / "splits.csv"
    stage = runpy.run_path(str(PROJECT / "scripts/list_image_folder.py"))
    stage["list_image_folder"](root, *files, dataset="birds")
    images, splits = read_image_list(files[0]), read_splits(files[1])
    assert images.merge(splits, on="image_id").equals(read_images(root))
    assert splits["class_name"].tolist() == ['a, "b"', "NA"]
    assert all((root / path).is_file() for path in images["path"])
