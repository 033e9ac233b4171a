"""A CUB-200-2011 of four images and three attributes, written out by hand."""

import os
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitproto.core.project import PROJECT
from vitproto.data.cub200_images import read_images
from vitproto.data.cub200_traits import (
    read_label_columns,
    read_traits,
    tabulate_answers,
)
from vitproto.data.image_list import read_image_list, read_splits, write_splits
from vitproto.data.label_rule import LabelRule
from vitproto.data.trait_labels import TraitLabels
from vitproto.demo.write_birds import DemoBirds, write_demo_birds

SCRIPTS = PROJECT / "scripts"
RULE = LabelRule(present=(3, 4), unknown=())
RULE_FLAGS = ["--present", "4", "--unknown", "1"]

IMAGES = """\
1 001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.jpg
2 001.Black_footed_Albatross/St. Peter's bird.v2 (1).jpg
4 002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg
3 002.Laysan_Albatross/Laysan_Albatross_0001_545.jpg
"""
SPLIT = "1 1\n2 0\n3 1\n4 0\n"
ATTRIBUTES = """\
1 has_bill_shape::curved_(up_or_down)
2 has_wing_color::blue
3 has_eye_color::buff
"""
# Image 1: definitely; guessed; absent, and sure of it. Image 2: probably; not
# visible; a line with extra columns before the time. Image 3: one line only.
# Image 4: absent twice over, with different certainty.
LABELS = """\
1 1 1 4 27.7080
1 2 1 2 27.7080
1 3 0 4 27.7080
2 1 1 3 1.5
2 2 1 1 0.8
2 3 1 4 0 17 9.3
3 2 1 4 12.0
4 1 0 4 3.2
4 1 0 3 3.2
"""
# Rows in the order of images.txt: images 1, 2, 4, 3.
EXPECTED = [[1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]]
NAMES = [line.split(maxsplit=1)[1] for line in IMAGES.splitlines()]


def _write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def official(tmp_path):
    """The folder CUB_200_2011, with attributes.txt beside it as in the archive."""
    folder = tmp_path / "CUB_200_2011"
    _write(folder, "images.txt", IMAGES)
    _write(folder, "train_test_split.txt", SPLIT)
    _write(folder, "attributes/image_attribute_labels.txt", LABELS)
    _write(tmp_path, "attributes.txt", ATTRIBUTES)
    for name in NAMES:
        _write(folder / "images", name, "")
    return folder


@pytest.fixture
def folders(official, tmp_path):
    """The same data set as image folders."""
    root = tmp_path / "folders"
    shutil.copytree(official, root / "metadata", ignore=lambda *_: ["images"])
    _write(root, "metadata/attributes/attributes.txt", ATTRIBUTES)
    for i_image, split in enumerate(["train", "test", "test", "train"]):
        _write(root / split, NAMES[i_image], "")
    return root


def _rows(root):
    return list(read_images(root).itertuples(index=False, name=None))


def test_the_official_layout_gives_images_in_the_order_of_images_txt(official):
    laysan, albatross = "002.Laysan_Albatross", "001.Black_footed_Albatross"
    assert _rows(official) == [
        ("1", f"images/{NAMES[0]}", "train", albatross),
        ("2", f"images/{NAMES[1]}", "test", albatross),
        ("4", f"images/{NAMES[2]}", "test", laysan),
        ("3", f"images/{NAMES[3]}", "train", laysan),
    ]


def test_image_folders_give_the_same_images_each_in_its_split(official, folders):
    expected = [
        (number, f"{split}/{path.removeprefix('images/')}", split, name)
        for number, path, split, name in _rows(official)
    ]
    assert _rows(folders) == expected
    assert all((folders / row[1]).is_file() for row in expected)


def test_the_root_may_be_the_folder_that_holds_cub_200_2011(official):
    inside, outside = _rows(official), _rows(official.parent)
    assert [f"CUB_200_2011/{row[1]}" for row in inside] == [row[1] for row in outside]
    labels = read_traits(official.parent, RULE)
    np.testing.assert_array_equal(
        labels.labels_NT, read_traits(official, RULE).labels_NT
    )


@pytest.mark.parametrize("layout", ["official", "folders"])
def test_a_trait_counts_where_it_is_present_and_the_worker_was_sure(layout, request):
    labels = read_traits(request.getfixturevalue(layout), RULE)
    assert labels.image_ids == ["1", "2", "4", "3"]
    assert labels.trait_names == [
        "has_bill_shape::curved_(up_or_down)",
        "has_wing_color::blue",
        "has_eye_color::buff",
    ]
    np.testing.assert_array_equal(labels.labels_NT, np.array(EXPECTED, dtype=bool))


@pytest.mark.parametrize(
    ("present", "unknown", "labels", "known"),
    [
        ((4,), (), [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]], np.ones((4, 3))),
        ((2, 3, 4), (), [[1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]], np.ones((4, 3))),
        ((3, 4), (1,), EXPECTED, [[1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1]]),
        ((3, 4), (1, 2), EXPECTED, [[1, 0, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1]]),
    ],
)
def test_the_rule_says_what_an_answer_counts_as(
    official, present, unknown, labels, known
):
    read = read_traits(official, LabelRule(present, unknown))
    np.testing.assert_array_equal(read.labels_NT, labels)
    np.testing.assert_array_equal(read.known_NT, known)
    assert read.answers_NT.tolist() == [[12, 10, 4], [11, 9, 12], [3, 0, 0], [0, 12, 0]]


def test_lines_that_repeat_a_pair_must_agree_under_the_rule(official):
    read_traits(official, LabelRule((3, 4), (1,)))
    with pytest.raises(ValueError, match="presence 0 with certainty 3 contradicts"):
        read_traits(official, LabelRule((4,), (3,)))


def test_a_certainty_that_counts_as_two_things_or_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="certainty 3 counts both as present and as"):
        LabelRule(present=(3, 4), unknown=(1, 3))
    with pytest.raises(ValueError, match="present is \\(3, 5\\): write a list of dif"):
        LabelRule(present=(3, 5), unknown=())


def test_attributes_txt_in_the_folder_counts_more_than_the_one_beside_it(official):
    _write(official, "attributes/attributes.txt", ATTRIBUTES.replace("blue", "teal"))
    assert read_traits(official, RULE).trait_names[1] == "has_wing_color::teal"


@pytest.mark.parametrize("layout", ["official", "folders"])
def test_windows_line_ends_and_blank_lines_change_nothing(layout, request):
    root = request.getfixturevalue(layout)
    images, labels = _rows(root), read_traits(root, RULE)
    for path in [*root.parent.rglob("*.txt")]:
        text = path.read_text().replace("\n", "\r\n\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert _rows(root) == images
    np.testing.assert_array_equal(read_traits(root, RULE).labels_NT, labels.labels_NT)


@pytest.mark.parametrize("read", [read_images, lambda root: read_traits(root, RULE)])
def test_a_folder_without_the_data_set_says_which_files_were_looked_for(tmp_path, read):
    with pytest.raises(
        ValueError, match="holds no CUB-200-2011, looked for:"
    ) as caught:
        read(tmp_path)
    for name in ("images.txt", "metadata/images.txt", "CUB_200_2011/images.txt"):
        assert str(tmp_path / name) in str(caught.value)


SAME_PATH = IMAGES.replace("Albatross_0001_545", "Albatross_0002_1027")


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("images.txt", "1 a\nx b\n", ", line 2: expected a number first, got 'x'"),
        ("images.txt", "1 a\n1_0 b\n", ", line 2: expected a number first, got '1_0'"),
        ("images.txt", "1 a\n\n2\n", ", line 3: nothing follows the id 2"),
        ("images.txt", "1 a\n2 b\n01 c\n", ", line 3: the id 1 is already on line 1"),
        ("images.txt", "\n", " is empty"),
        (
            "images.txt",
            SAME_PATH.replace(f"{NAMES[2]}\n", f"./{NAMES[2].replace('/', '//')}\n", 1),
            f", line 4: the image {NAMES[2]} is already on line 3",
        ),
        (
            "images.txt",
            SAME_PATH,
            f", line 4: the image {NAMES[2]} is already on line 3",
        ),
        ("train_test_split.txt", "1 1\n2 2\n", ", line 2: expected 1 (training) or 0"),
        (
            "train_test_split.txt",
            "1 1 0\n2 0\n",
            ", line 1: expected 1 (training) or 0",
        ),
        ("train_test_split.txt", SPLIT + "5 1\n", ", line 5: image 5 is not in "),
        ("train_test_split.txt", "1 1\n3 0\n", " leaves out 2 of the 4 images of imag"),
        (
            "train_test_split.txt",
            SPLIT + "4 1\n",
            ", line 5: the id 4 is already on li",
        ),
        (
            "train_test_split.txt",
            SPLIT.replace(" 0", " 1"),
            " puts none of the 4 image",
        ),
        (
            "train_test_split.txt",
            SPLIT.replace(" 1", " 0"),
            " puts none of the 4 image",
        ),
        ("train_test_split.txt", None, " is missing"),
    ],
)
@pytest.mark.parametrize("layout", ["official", "folders"])
def test_damaged_image_files_are_refused(layout, request, file, text, expected):
    root = request.getfixturevalue(layout)
    path = (root / "metadata" if layout == "folders" else root) / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"{path}{expected}")):
        read_images(root)


def test_images_that_are_not_there_are_counted_and_the_first_few_named(official):
    many = "".join(f"{i} 003.Gone/{i}.jpg\n" for i in range(5, 12))
    _write(official, "images.txt", IMAGES + many)
    _write(
        official, "train_test_split.txt", SPLIT + "5 0\n6 0\n7 0\n8 0\n9 0\n10 1\n11 1"
    )
    (official / "images" / NAMES[3]).unlink()
    expected = (
        f"8 of the 11 images are not in {official}: images/{NAMES[3]}, "
        "images/003.Gone/5.jpg, images/003.Gone/6.jpg, images/003.Gone/7.jpg, "
        "images/003.Gone/8.jpg, …"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_images(official)


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "a/../../b.jpg"])
def test_an_image_must_lie_below_the_folder_of_images(official, name):
    images = official / "images.txt"
    images.write_text(IMAGES.replace(NAMES[1], name))
    expected = f"{images}, line 2: expected a path below the folder of images"
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_images(official)


def test_a_folder_named_like_an_image_is_none(official):
    (official / "images" / NAMES[0]).unlink()
    (official / "images" / NAMES[0]).mkdir()
    with pytest.raises(ValueError, match=f"1 of the 4 images are not in .*{NAMES[0]}"):
        read_images(official)


def test_pairs_without_a_line_are_counted(official, caplog):
    read_traits(official, RULE)
    labels = official / "attributes/image_attribute_labels.txt"
    # Twelve pairs; nine lines, of which two repeat a pair.
    assert caplog.messages == [
        f"{labels} has no line for 4 of the 12 pairs of image and attribute: these "
        "count as absent"
    ]


def test_an_image_in_the_folder_of_the_other_split_is_not_there(folders):
    os.replace(folders / "train" / NAMES[0], folders / "test" / NAMES[0])
    expected = f"1 of the 4 images are not in {folders}: train/{NAMES[0]}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_images(folders)


@pytest.mark.parametrize(
    ("line_5", "expected"),
    [
        ("2 2 yes 1 0.8", "line 5: the presence must be a whole number, got 'yes'"),
        ("2 2 1.0 1 0.8", "line 5: the presence must be a whole number, got '1.0'"),
        ("9999999999 2 1 1", "line 5: the image id must be a whole number, got '9999"),
        ("2 2 1", "line 5: expected at least 4 columns, got '2 2 1'"),
        ("5 2 1 1 0.8", "line 5: the image id must be one of images.txt, got 5"),
        ("\n\n5 2 1 1 0.8", "line 7: the image id must be one of images.txt, got 5"),
        (
            "2 0 1 1 0.8",
            "line 5: the attribute id must be one of attributes.txt, got 0",
        ),
        (
            "2 4 1 1 0.8",
            "line 5: the attribute id must be one of attributes.txt, got 4",
        ),
        ("2 2 2 1 0.8", "line 5: the presence must be 0 or 1, got 2"),
        ("2 2 -1 1 0.8", "line 5: the presence must be 0 or 1, got -1"),
        ("2 2 1 0 0.8", "line 5: the certainty must be 1 to 4, got 0"),
        ("2 2 1 5 0.8", "line 5: the certainty must be 1 to 4, got 5"),
        (
            "\n2 1 1 2 0.1",
            "line 6: image 2, attribute 1: presence 1 with certainty 2 contradicts",
        ),
    ],
)
def test_damaged_label_lines_are_refused(official, line_5, expected):
    path = official / "attributes" / "image_attribute_labels.txt"
    path.write_text(LABELS.replace("2 2 1 1 0.8", line_5))
    with pytest.raises(ValueError, match=re.escape(f"{path}, {expected}")):
        read_traits(official, RULE)


def test_the_number_of_bad_lines_tells_a_slip_from_a_wrong_file(official):
    path = official / "attributes" / "image_attribute_labels.txt"
    path.write_text(LABELS.replace(" 4 ", " 7 "))
    with pytest.raises(ValueError, match=r"line 1: .* got 7 \(5 such lines\)"):
        read_traits(official, RULE)


@pytest.mark.parametrize(("n_lines", "without"), [(6, "4, 3"), (0, "1, 2, 4, 3")])
def test_images_without_any_label_are_refused(official, n_lines, without):
    path = official / "attributes" / "image_attribute_labels.txt"
    path.write_text("".join(LABELS.splitlines(keepends=True)[:n_lines]))
    n_without = without.count(",") + 1
    expected = f"{path} has no line for {n_without} of the 4 images of images.txt: "
    with pytest.raises(ValueError, match=re.escape(expected + without)):
        read_traits(official, RULE)


def test_missing_label_files_are_refused_with_what_was_looked_for(official):
    (official / "attributes" / "image_attribute_labels.txt").unlink()
    with pytest.raises(ValueError, match=r"image_attribute_labels\.txt is missing"):
        read_traits(official, RULE)
    (official.parent / "attributes.txt").unlink()
    expected = official / "attributes" / "attributes.txt"
    with pytest.raises(ValueError, match=re.escape(f"looked for: {expected}, ")):
        read_traits(official, RULE)


def test_two_attributes_of_one_name_are_refused(official):
    _write(official.parent, "attributes.txt", "1 a::b\n2 a::b\n3 a::c\n")
    with pytest.raises(ValueError, match="the trait name 'a::b' appears twice"):
        read_traits(official, RULE)


def _slow_columns(text):
    rows = []
    for line in text.splitlines():
        fields = line.split()
        if fields:
            rows.append([int(field) for field in fields[:4]])
    return rows


_cell = st.integers(0, 400).map(str)
_line = st.builds(
    lambda blank, sep, cells, extra, end: blank + sep.join(cells + extra) + end,
    blank=st.sampled_from(["", " ", "\n", "\r\n", " \n"]),
    sep=st.sampled_from([" ", "\t", "  "]),
    cells=st.lists(_cell, min_size=4, max_size=4),
    extra=st.lists(st.sampled_from(["0", "1.5", "27.7080", "worker_7", "#", '"', "é"])),
    end=st.sampled_from(["\n", "\r\n", " \n"]),
)


@given(st.lists(_line, max_size=20).map("".join))
def test_label_lines_are_read_as_a_slow_reader_reads_them(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "labels.txt"
    path.write_bytes(text.encode())
    assert read_label_columns(path).tolist() == _slow_columns(text)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([7, 2, 9]), st.sampled_from([1, 312])),
        st.tuples(st.integers(0, 1), st.integers(1, 4)),
    ),
    st.randoms(use_true_random=False),
)
def test_cells_are_filled_as_a_slow_reader_fills_them(tmp_path_factory, cells, random):
    images, attributes = [7, 2, 9], [312, 1]
    # A line for each image, in a cell that no other line mentions.
    rows = [[image, 5, 1, 4] for image in images]
    rows += [[*cell, *said] for cell, said in cells.items()]
    random.shuffle(rows)
    attributes.append(5)
    expected = [
        [a == 5 or cells.get((i, a), (0, 0)) in {(1, 3), (1, 4)} for a in attributes]
        for i in images
    ]
    path = tmp_path_factory.getbasetemp() / "labels.txt"
    rows_R4 = np.array(rows, np.int32)
    answers_NT = tabulate_answers(path, rows_R4, images, attributes, RULE)
    labels_NT, known_NT = RULE.apply(answers_NT)
    assert labels_NT.tolist() == expected
    assert known_NT.all()
    said = [[cells.get((i, a), (0, 0)) for a in attributes[:2]] for i in images]
    kept = [[(answer // 8, answer % 8) for answer in row[:2]] for row in answers_NT]
    assert kept == said


def _stage(name):
    return runpy.run_path(str(SCRIPTS / f"{name}.py"))[name]


@pytest.mark.parametrize("layout", ["official", "folders"])
def test_the_stages_write_images_splits_and_labels(layout, request, tmp_path):
    root = request.getfixturevalue(layout)
    images, splits = tmp_path / "out" / "images.csv", tmp_path / "out" / "splits.csv"
    traits = tmp_path / "out" / "traits.npz"
    _stage("list_cub200")(root, images, splits, dataset="cub200")
    _stage("read_traits")(
        root, splits, traits, dataset="cub200", n_train=("all",), rule=RULE
    )
    listed = read_image_list(images)
    assert listed["image_id"].tolist() == ["1", "2", "4", "3"]
    assert read_splits(splits)["split"].tolist() == ["train", "test", "test", "train"]
    assert listed.merge(read_splits(splits), on="image_id").equals(read_images(root))
    np.testing.assert_array_equal(TraitLabels.load(traits).labels_NT, EXPECTED)


def _list_twice(root, tmp_path, correct):
    """Bytes of the image list and of the splits, before and after a correction."""
    written = []
    for _ in range(2):
        files = tmp_path / "images.csv", tmp_path / "splits.csv"
        _stage("list_cub200")(root, *files, dataset="cub200")
        written.append([file.read_bytes() for file in files])
        correct()
    return zip(*written, strict=True)


def test_a_corrected_split_changes_no_byte_of_the_image_list(official, tmp_path):
    def correct():
        _write(official, "train_test_split.txt", "4 1\n1 0\n2 0\n3 1\n")

    images, splits = _list_twice(official, tmp_path, correct)
    assert images[0] == images[1]
    # Image 4 stands on the third line of images.txt.
    first, second = (text.decode().splitlines()[1:] for text in splits)
    assert [line.split(",")[1] for line in first] == ["train", "test", "test", "train"]
    assert [line.split(",")[1] for line in second] == ["test", "test", "train", "train"]


def test_a_corrected_split_of_drawn_birds_changes_no_byte_of_the_image_list(tmp_path):
    root = tmp_path / "birds"
    write_demo_birds(root, DemoBirds(2, 4, 64, seed=0), n_workers=1)
    (path,) = root.rglob("train_test_split.txt")

    def correct():
        other = {"0": "1", "1": "0"}
        lines = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join(f"{i} {other[split]}\n" for i, split in lines))

    images, splits = _list_twice(root, tmp_path, correct)
    assert images[0] == images[1]
    assert splits[0] != splits[1]
    turned = splits[0].replace(b",train,", b",?,").replace(b",test,", b",train,")
    assert turned.replace(b",?,", b",test,") == splits[1]


def test_labels_for_other_images_than_the_listed_ones_are_refused(official, tmp_path):
    splits = tmp_path / "splits.csv"
    listed = read_images(official)
    write_splits(listed.iloc[[0, 1, 3, 2]], splits)
    with pytest.raises(
        ValueError, match=r"order their images differently: '\d' is number"
    ):
        _stage("read_traits")(
            *(official, splits, tmp_path / "t.npz"),
            **{"dataset": "cub200", "n_train": ("all",), "rule": RULE},
        )
    write_splits(listed.iloc[:3], splits)
    with pytest.raises(
        ValueError, match=r"not in .*splits\.csv, first '\d', number \d \(.* lists 3"
    ):
        _stage("read_traits")(
            *(official, splits, tmp_path / "t.npz"),
            **{"dataset": "cub200", "n_train": ("all",), "rule": RULE},
        )
    assert not (tmp_path / "t.npz").exists()


@pytest.mark.parametrize(
    ("stage", "flags"),
    [
        ("list_cub200", ["--images", "images.csv"]),
        ("read_traits", ["--traits", "t.npz", "--n_train", "all", *RULE_FLAGS]),
    ],
)
def test_a_missing_root_names_the_path_and_the_key_to_set(
    tmp_path, monkeypatch, stage, flags
):
    root = tmp_path / "nowhere"
    argv = ["--root", str(root), "--splits", "s.csv", "--dataset", "birds", *flags]
    monkeypatch.setattr(sys, "argv", [stage, *argv])
    expected = f"{root} does not exist: set `datasets: birds: root` in the config"
    with pytest.raises(SystemExit, match=re.escape(expected)):
        runpy.run_path(str(SCRIPTS / f"{stage}.py"), run_name="__main__")


def test_a_fix_in_the_label_reader_leaves_image_lists_alone():
    code = (
        "import runpy, sys; runpy.run_path('list_cub200.py');"
        "sys.exit(any('trait' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS).returncode == 0


def test_more_training_images_than_there_are_stop_the_run(official, tmp_path):
    splits, labels = tmp_path / "splits.csv", tmp_path / "traits.npz"
    _stage("list_cub200")(official, tmp_path / "images.csv", splits, dataset="cub200")
    told = "cannot choose prototypes on 3 images, there are 2 training images: set `sel"
    with pytest.raises(ValueError, match=told):
        _stage("read_traits")(
            *(official, splits, labels),
            **{"dataset": "cub200", "n_train": (1, 3, "all"), "rule": RULE},
        )
    assert not labels.exists()


def test_labels_on_which_constant_scores_look_good_stop_the_run(official, tmp_path):
    splits, labels = tmp_path / "splits.csv", tmp_path / "traits.npz"
    _stage("list_cub200")(official, tmp_path / "images.csv", splits, dataset="cub200")
    path = official / "attributes" / "image_attribute_labels.txt"
    n_attributes = len(ATTRIBUTES.splitlines())
    every_cell = [(i, a) for i in range(1, 5) for a in range(1, n_attributes + 1)]
    path.write_text("".join(f"{i} {a} 1 4 1.0\n" for i, a in every_cell))
    with pytest.raises(ValueError, match=r"would reach an mAP of 1\.00 .*`present`"):
        _stage("read_traits")(
            official, splits, labels, dataset="cub200", n_train=("all",), rule=RULE
        )
    assert not labels.exists()
