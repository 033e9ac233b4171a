"""A data set in ADE20K's layout of four images and three classes, by hand."""

import os
import re
import runpy
import shutil

import numpy as np
import pytest
from PIL import Image

from vitproto.core.project import PROJECT
from vitproto.data.ade20k import mask_path, read_classes, read_images
from vitproto.data.ade20k_layout import FOLDER, find_root
from vitproto.data.image_list import COLUMNS, read_image_list, read_splits
from vitproto.demo.write_scenes import CLASSES, DemoScenes, write_demo_scenes

IMAGES = ["training/ADE_b.jpg", "training/a b.v2.PNG", "validation/c.jpg"]
SCENES = "ADE_b airport_terminal\nnobody bar\n\na b.v2 street\n"
# As in the official file: blanks after some numbers and names.
OBJECT_INFO = """\
Idx\tRatio\tTrain\tVal\tName
1\t0.5\t2\t1\twall
2 \t0.3\t1\t1\tbed \t
3\t0.2\t0\t1\tperson, individual, someone
"""


@pytest.fixture
def root(tmp_path):
    """The folder ADEChallengeData2016."""
    top = tmp_path / FOLDER
    for path in IMAGES:
        for kind in ("images", "annotations"):
            (top / kind / path).parent.mkdir(parents=True, exist_ok=True)
        (top / "images" / path).touch()
        (top / "annotations" / path).with_suffix(".png").touch()
    (top / "objectInfo3.txt").write_text(OBJECT_INFO)
    (top / "sceneCategories.txt").write_text(SCENES)
    return top


def rows(root):
    images = read_images(root)
    assert list(images.columns) == COLUMNS
    return list(images.itertuples(index=False, name=None))


EXPECTED = [
    ("ADE_b", "images/training/ADE_b.jpg", "train", "airport_terminal"),
    ("a b.v2", "images/training/a b.v2.PNG", "train", "street"),
    ("c", "images/validation/c.jpg", "test", ""),
]


def test_images_are_listed_by_split_with_their_scenes(root):
    assert rows(root) == EXPECTED


def test_the_folder_above_works_too_and_paths_start_from_it(root):
    assert find_root(root) == find_root(root.parent) == root
    assert rows(root.parent) == [
        (image_id, f"{FOLDER}/{path}", split, scene)
        for image_id, path, split, scene in EXPECTED
    ]
    assert read_classes(root.parent) == read_classes(root)


def test_scenes_of_several_words_stand_behind_a_tab(root):
    (root / "sceneCategories.txt").write_text("c\tbus stop \na b.v2 street\nADE_b\n")
    assert [row[3] for row in rows(root)] == ["", "street", "bus stop"]


def test_without_scene_categories_images_have_no_class(root):
    (root / "sceneCategories.txt").unlink()
    assert [row[3] for row in rows(root)] == ["", "", ""]


def test_hidden_files_and_other_kinds_of_files_are_left_out(root):
    (root / "images/training/.b.jpg").touch()
    (root / "images/training/notes.txt").touch()
    (root / "annotations/training/._c.png").touch()
    assert rows(root) == EXPECTED


def test_each_listed_image_has_its_mask_where_the_path_says(root):
    for top in (root, root.parent):
        paths = read_images(top)["path"]
        masks = [mask_path(top, path) for path in paths]
        assert all(mask.is_file() for mask in masks)
        assert [mask.relative_to(root).as_posix() for mask in masks] == [
            "annotations/training/ADE_b.png",
            "annotations/training/a b.v2.png",
            "annotations/validation/c.png",
        ]


@pytest.mark.parametrize("path", ["class/a.jpg", "a.jpg", "images/test/a.jpg"])
def test_an_image_listed_from_elsewhere_has_no_mask(root, path):
    with pytest.raises(ValueError, match=f"the image {path} lies neither in"):
        mask_path(root, path)


def test_classes_stand_in_the_order_of_their_labels(root):
    expected = ["wall", "bed", "person, individual, someone"]
    assert read_classes(root) == expected
    header, *lines = OBJECT_INFO.splitlines()
    (root / "objectInfo3.txt").write_text("\n".join([header, *lines[::-1]]))
    assert read_classes(root) == expected


def test_columns_are_found_by_their_header_in_any_case_and_order(root):
    text = "NAME\tStuff\tiDX \nwall\t1\t1\n\nbed\t\t2\n"
    (root / "objectInfo3.txt").write_text(text)
    assert read_classes(root) == ["wall", "bed"]


def test_windows_line_ends_and_a_mark_of_the_byte_order_change_nothing(root):
    classes = read_classes(root)
    for path in root.glob("*.txt"):
        text = path.read_text().replace("\n", "\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert rows(root) == EXPECTED
    assert read_classes(root) == classes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Idx\tLabel\n1\twall\n", ", line 1: expected columns with tabs between them"),
        ("Idx Name\n1 wall\n", ", line 1: expected columns with tabs between them"),
        ("Idx\tName\tName\n1\ta\tb", ", line 1: expected columns with tabs"),
        ("", ", line 1: expected columns"),
        ("Idx\tName\n", " lists no class"),
        ("Idx\tName\n1\ta\n\n2\n", ", line 4: the name is missing, got '2'"),
        ("Idx\tName\n1\t \n", ", line 2: the name is missing"),
        ("Idx\tName\none\ta\n", ", line 2: Idx must be a whole number, got 'one'"),
        ("Idx\tName\n1.0\ta\n", ", line 2: Idx must be a whole number, got '1.0'"),
        ("Idx\tName\n1\ta\n1\tb\n", ", line 3: the Idx 1 is already on line 2"),
        ("Idx\tName\n1\ta\n0\tother\n", ", line 3: Idx counts from 1"),
        ("Idx\tName\n1\ta\n4\tb\n3\tc\n", ", line 3: Idx goes up to 4, but no line h"),
    ],
)
def test_damaged_lists_of_classes_are_refused(root, text, expected):
    path = root / "objectInfo3.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{path}{expected}")):
        read_classes(root)


def test_all_bad_lines_of_a_list_of_classes_are_named(root):
    path = root / "objectInfo3.txt"
    path.write_text("Idx\tName\n1\ta\none\tb\n1\tc\n2\t\n9\td\n")
    with pytest.raises(ValueError, match="Idx must be a whole number") as told:
        read_classes(root)
    assert str(told.value).split("\n") == [
        f"{path}, line 3: Idx must be a whole number, got 'one'",
        f"{path}, line 4: the Idx 1 is already on line 2",
        f"{path}, line 5: the name is missing, got '2\\t'",
    ]


def test_a_folder_named_like_an_image_is_none(root):
    (root / "images/training/d.jpg").mkdir()
    assert rows(root) == EXPECTED


def test_a_list_of_classes_that_is_not_text_is_refused(root):
    path = root / "objectInfo3.txt"
    path.write_bytes(OBJECT_INFO.encode("utf-16"))
    with pytest.raises(ValueError, match="objectInfo3.txt is not text in UTF-8"):
        read_classes(root)


def test_there_must_be_one_list_of_classes(root):
    shutil.copy(root / "objectInfo3.txt", root / "objectInfo150.txt")
    with pytest.raises(ValueError, match="found objectInfo150.txt, objectInfo3.txt"):
        read_classes(root)
    for path in root.glob("objectInfo*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"exactly one objectInfo\*.txt, .*found none"):
        read_classes(root)


def test_a_folder_without_the_data_set_says_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match="in ADE20K's layout, looked for:") as caught:
        read_images(tmp_path)
    for name in ("images", "annotations", f"{FOLDER}/images"):
        assert str(tmp_path / name) in str(caught.value)


def test_missing_folders_are_named(root):
    shutil.rmtree(root / "annotations" / "validation")
    shutil.rmtree(root / "images" / "training")
    expected = f"{root}/images/training, {root}/annotations/validation missing"
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_images(root)


def test_an_empty_split_is_refused(root):
    (root / "images/validation/c.jpg").unlink()
    with pytest.raises(ValueError, match=r"images/validation is empty: looked for \.b"):
        read_images(root)


def test_images_without_masks_are_counted_and_named(root):
    (root / "annotations/training/ADE_b.png").unlink()
    (root / "annotations/training/a b.v2.png").rename(
        root / "annotations/training/a b.v2.gif"
    )
    expected = "2 of the 2 images in .* have no mask, .*: ADE_b.jpg, a b.v2.PNG"
    with pytest.raises(ValueError, match=expected):
        read_images(root)


def test_masks_without_images_are_counted_and_named(root):
    (root / "annotations/validation/d.png").touch()
    expected = "1 of the 2 masks in .*validation have no image .*: d.png"
    with pytest.raises(ValueError, match=expected):
        read_images(root)


@pytest.mark.parametrize("second", ["training/ADE_b.png", "validation/ADE_b.jpg"])
def test_images_that_would_share_an_id_are_refused(root, second):
    (root / "images" / second).touch()
    (root / "annotations" / second).with_suffix(".png").touch()
    expected = f"images/training/ADE_b.jpg and images/{second}: two images must not"
    with pytest.raises(ValueError, match=expected):
        read_images(root)


def test_an_image_with_two_scenes_is_refused(root):
    (root / "sceneCategories.txt").write_text(SCENES + "ADE_b street\n")
    expected = "sceneCategories.txt, line 5: the image ADE_b is already on line 1"
    with pytest.raises(ValueError, match=expected):
        read_images(root)


def test_a_name_that_is_not_utf8_is_refused(root):
    (root / "images/training" / os.fsdecode(b"\xff.jpg")).touch()
    with pytest.raises(ValueError, match=r"udcff\.jpg', a name that is not UTF-8"):
        read_images(root)


def test_the_invented_scenes_are_read_like_the_published_data(tmp_path):
    """Listed by the stage, with every mask in its place and every label named."""
    cfg = DemoScenes(n_species=2, n_training=3, n_validation=2, image_size=64, seed=2)
    out = tmp_path / "scenes"
    write_demo_scenes(out, cfg, n_workers=1)
    stage = runpy.run_path(str(PROJECT / "scripts/list_ade20k.py"))["list_ade20k"]
    stage(out, tmp_path / "images.csv", tmp_path / "splits.csv", dataset="scenes")
    images = read_image_list(tmp_path / "images.csv")
    splits = read_splits(tmp_path / "splits.csv")
    assert splits["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert splits["image_id"].tolist() == images["image_id"].tolist()
    assert images["image_id"].tolist()[0] == "ADE_train_00000001"
    assert (splits["class_name"] != "").all()
    assert read_classes(out) == list(CLASSES)
    for path in images["path"]:
        with Image.open(out / path) as image, Image.open(mask_path(out, path)) as mask:
            assert image.size == mask.size
            assert np.asarray(mask).max() <= len(CLASSES)
