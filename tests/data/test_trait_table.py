"""Tables of traits: what is read, and every problem named with its line."""

import csv
from posixpath import normpath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitproto.data.stratified_split import TableSplit
from vitproto.data.trait_table import read_images, read_traits

SPLIT = TableSplit(0.5, 0)
HEADER = "image,split,group,spots,wing"
ROWS = [
    "b 2.jpg,test,owl,0,red",
    "a/1.png,train,crow,1,blue",
    "c.jpg,test,owl,,",
    "d.jpg,train,crow,TRUE,red",
]


def write(tmp_path, *lines, encoding="utf-8", end="\n"):
    path = tmp_path / "traits.csv"
    path.write_text(end.join(lines) + end, encoding=encoding, newline="")
    return path


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    (root / "a").mkdir(parents=True)
    for name in ("b 2.jpg", "a/1.png", "c.jpg", "d.jpg", "not in the table.jpg"):
        (root / name).touch()
    return root


def test_answers_words_and_empty_cells_are_read_in_the_order_of_paths(tmp_path):
    labels = read_traits(write(tmp_path, HEADER, *ROWS))
    assert labels.image_ids == ["a/1.png", "b 2.jpg", "c.jpg", "d.jpg"]
    assert labels.trait_names == ["spots", "wing::blue", "wing::red"]
    np.testing.assert_array_equal(
        labels.labels_NT, [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]]
    )
    np.testing.assert_array_equal(
        labels.known_NT, [[1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]]
    )


def test_splits_and_groups_of_the_table_are_kept(tmp_path, photos):
    images = read_images(photos, write(tmp_path, HEADER, *ROWS), SPLIT)
    assert images["path"].tolist() == ["a/1.png", "b 2.jpg", "c.jpg", "d.jpg"]
    assert images["image_id"].tolist() == images["path"].tolist()
    assert images["split"].tolist() == ["train", "test", "test", "train"]
    assert images["class_name"].tolist() == ["crow", "owl", "owl", "crow"]


def test_without_them_images_are_drawn_and_each_is_a_group(tmp_path, photos):
    lines = ["image,spots", "b 2.jpg,0", "a/1.png,1", "c.jpg,1", "d.jpg,0"]
    images = read_images(photos, write(tmp_path, *lines), SPLIT)
    assert images["class_name"].tolist() == images["path"].tolist()
    spotted = images["path"].isin(["a/1.png", "c.jpg"])
    assert sorted(images["split"][spotted]) == ["test", "train"]
    assert sorted(images["split"][~spotted]) == ["test", "train"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_spreadsheets_write_is_read(tmp_path, separator):
    """A mark of the encoding, other separators, Windows' line ends and slashes."""
    lines = [line.replace(",", separator) for line in (HEADER, *ROWS)]
    lines[2] = lines[2].replace("/", "\\")
    path = write(tmp_path, *lines, ";;", encoding="utf-8-sig", end="\r\n")
    if separator == "\t":
        path = write(tmp_path, *lines, encoding="utf-8-sig", end="\r\n")
    labels = read_traits(path)
    assert labels.image_ids == ["a/1.png", "b 2.jpg", "c.jpg", "d.jpg"]
    assert labels.trait_names == ["spots", "wing::blue", "wing::red"]


def problems(call):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    return str(error.value).split("\n")


def test_all_problems_of_rows_are_named_at_once(tmp_path):
    path = write(
        tmp_path,
        "image,split,group,spots",
        "a.jpg,train,owl,1",
        "a.jpg,test,owl,0",
        ",train,crow,1",
        "../b.jpg,dev,,0",
    )
    assert problems(lambda: read_traits(path)) == [
        f"{path}, line 3: 'a.jpg' is already on line 2",
        f"{path}, line 4: the image is empty",
        f"{path}, line 5: '../b.jpg' leads out of the folder of images: write the path "
        "below it",
        f"{path}, line 5: the group is empty: fill it in on all rows, or leave out the "
        "column group",
        f"{path}, line 5: the split is 'dev': write train or test",
        f"{path}: the group 'owl' is in both splits: its images are not independent, "
        "so put all of them in one",
    ]


def test_all_problems_of_columns_are_named_at_once(tmp_path):
    path = write(
        tmp_path,
        "image,size,stage,notes,nothing,wing",
        "a.jpg,12.5,0,seen at dawn,,Blue",
        "b.jpg,3,1,a second one,,blue",
        "c.jpg,,2,,,red",
        "d.jpg,1,,,,red",
    )
    size, stage, notes, nothing, wing = problems(lambda: read_traits(path))
    assert size.startswith(f"{path}, column 'size' holds numbers: '12.5' on line 2, ")
    assert stage.startswith(f"{path}, column 'stage' holds numbers: '2' on line 4: ")
    assert notes.startswith(f"{path}, column 'notes' has another word in each row")
    assert nothing == f"{path}, column 'nothing' is empty: fill it in, or leave it out"
    assert wing == (
        f"{path}, column 'wing' holds both 'Blue' and 'blue': write them in the same "
        "way"
    )


def test_words_among_answers_are_no_trait(tmp_path):
    path = write(tmp_path, "image,spots", "a.jpg,1", "b.jpg,maybe", "c.jpg,0")
    assert problems(lambda: read_traits(path)) == [
        f"{path}, column 'spots' mixes 0 and 1 with words: 'maybe' on line 3: write 0, "
        "1 or nothing for not known, or words in all rows"
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["file,spots", "a.jpg,1"], "no column is called 'image'"),
        (["image,spots,spots", "a.jpg,1,1"], "2 columns are called 'spots'"),
        (["image,,spots", "a.jpg,1,1"], "column 2 has no name"),
        (["image,spots"], "has a header but no rows"),
        (["image,spots", "a.jpg"], "line 2: 1 cells, but the header has 2"),
        (["image,spots", 'a.jpg,"1'], "not a CSV file"),
        (["image,split", "a.jpg,train"], "has no column of a trait"),
        (
            ["image,wing,wing::red", "a.jpg,red,1", "b.jpg,red,0"],
            "the trait 'wing::red",
        ),
        ([""], "is empty|no column"),
        (["image,wing", "a.jpg,red", "b.jpg,NA"], "something is missing: 'NA'"),
        (["image,x", "a.jpg,1", "./a.jpg,0"], "'a.jpg' is already on line 2"),
        (
            ["image,Split,x", "a.jpg,train,1", "b.jpg,train,0"],
            "all images are in the split train, none in test",
        ),
        (
            ["image,Group,x", "a.jpg,Robin,1", "b.jpg,ROBIN,0"],
            "column 'group' holds both 'ROBIN' and 'Robin'",
        ),
    ],
)
def test_what_is_no_table_of_traits_is_refused(tmp_path, lines, expected):
    path = write(tmp_path, *lines)
    with pytest.raises(ValueError, match=expected):
        read_traits(path)


def test_other_encodings_and_missing_files_are_refused(tmp_path):
    path = write(tmp_path, "image,wing", "a.jpg,größe", encoding="latin-1")
    with pytest.raises(ValueError, match="is not in UTF-8 .* save it as “CSV UTF-8”"):
        read_traits(path)
    with pytest.raises(ValueError, match=r"none\.csv"):
        read_traits(tmp_path / "none.csv")


def test_special_columns_may_have_capitals_and_names_may_hold_commas(tmp_path):
    lines = ["Image;GROUP;a, b, c", "a.jpg;x;1.0", "b.jpg;y;0.0"]
    path = write(tmp_path, *lines)
    labels = read_traits(path)
    assert labels.trait_names == ["a, b, c"]
    assert labels.labels_NT.tolist() == [[True], [False]]


def test_one_image_or_one_group_cannot_be_divided(tmp_path, photos):
    path = write(tmp_path, "image,x", "c.jpg,1")
    with pytest.raises(ValueError, match="has a single image, which cannot both"):
        read_images(photos, path, SPLIT)
    path = write(tmp_path, "image,group,x", "c.jpg,owl,1", "d.jpg,owl,0")
    with pytest.raises(ValueError, match="has a single group 'owl', which cannot"):
        read_images(photos, path, SPLIT)


def test_problems_of_rows_columns_and_files_come_together(tmp_path, photos):
    (photos / "notes.txt").touch()
    lines = ["image,size", "c.jpg,1.5", "c.jpg,2", "none.jpg,3", "notes.txt,4"]
    path = write(tmp_path, *lines)
    found = "\n".join(problems(lambda: read_images(photos, path, SPLIT)))
    assert "line 3: 'c.jpg' is already on line 2" in found
    assert "line 4: there is no image 'none.jpg'" in found
    assert "line 5: 'notes.txt' is no image by its suffix" in found
    assert "column 'size' holds numbers" in found


def test_images_that_are_not_there_are_named_with_their_lines(tmp_path, photos):
    path = write(
        tmp_path, HEADER, *ROWS, "e.jpg,test,owl,1,red", "f.jpg,test,owl,1,red"
    )
    assert problems(lambda: read_images(photos, path, SPLIT)) == [
        f"{path}, line {line}: there is no image {name!r} in {photos}"
        for line, name in ((6, "e.jpg"), (7, "f.jpg"))
    ]


CELL = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=6)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8))
def test_any_table_is_read_as_it_was_written_or_refused_in_a_sentence(
    tmp_path_factory, rows
):
    path = tmp_path_factory.mktemp("table") / "traits.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "spots", "wing"), *rows])
    try:
        labels = read_traits(path)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert str(path) in refused
        return
    filled = [row for row in rows if any(row)]
    assert len(labels.image_ids) == len(filled)
    for image, _, wing in filled:
        i = labels.image_ids.index(normpath(image.strip().replace("\\", "/")))
        shown = {
            name
            for name, shows in zip(labels.trait_names, labels.labels_NT[i], strict=True)
            if shows and name.startswith("wing::")
        }
        if wing.strip() and any(n.startswith("wing::") for n in labels.trait_names):
            assert shown == {f"wing::{wing.strip()}"}
