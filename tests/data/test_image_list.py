import re

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitproto.data.image_list import (
    COLUMNS,
    IMAGE_COLUMNS,
    SPLIT_COLUMNS,
    check_same_images,
    read_image_list,
    read_splits,
    write_image_list,
    write_splits,
)
from vitproto.freshness.code.fingerprint import reached

IMAGES, SPLITS = "image_id,path\n", "image_id,split,class_name\n"


def _images(*rows):
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def _write(folder, images):
    files = folder / "images.csv", folder / "splits.csv"
    write_image_list(images, files[0])
    write_splits(images, files[1])
    return files


def test_ids_and_names_that_look_like_numbers_or_gaps_stay_text(tmp_path):
    images = _images(
        ("0001", "images/NA/1.jpg", "train", "NA"),
        ("NA", "images/nan/1.50.jpg", "test", "nan"),
        ("1e3", 'images/a, "b"/c d.jpg', "train", ""),
        ("True", "images/Ü/ß.jpg", "test", "007"),
    )
    files = _write(tmp_path, images)
    pd.testing.assert_frame_equal(read_image_list(files[0]), images[IMAGE_COLUMNS])
    pd.testing.assert_frame_equal(read_splits(files[1]), images[SPLIT_COLUMNS])


# Carriage returns are left out: no data set has them, and a CSV file that does
# is refused on reading.
_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(_text, _text, st.sampled_from(["train", "test"]), st.just("") | _text)
    )
)
def test_any_list_comes_back_as_it_was_written(tmp_path, rows):
    rows = [(f"{i}{r[0]}", f"{i}{r[1]}", *r[2:]) for i, r in enumerate(rows)]
    files = _write(tmp_path, _images(*rows))
    images = read_image_list(files[0]).itertuples(index=False, name=None)
    splits = read_splits(files[1]).itertuples(index=False, name=None)
    assert list(images) == [row[:2] for row in rows]
    assert list(splits) == [(row[0], *row[2:]) for row in rows]


def test_the_same_list_gives_the_same_bytes_with_unix_line_ends(tmp_path):
    files = _write(tmp_path, _images(("1", "a.jpg", "train", "x")))
    expected = IMAGES + "1,a.jpg\n", SPLITS + "1,train,x\n"
    assert tuple(file.read_bytes().decode() for file in files) == expected


def test_what_is_read_can_be_written_again(tmp_path):
    files = _write(tmp_path, _images(("1", "a.jpg", "train", "x")))
    before = [file.read_bytes() for file in files]
    write_image_list(read_image_list(files[0]), files[0])
    write_splits(read_splits(files[1]), files[1])
    assert [file.read_bytes() for file in files] == before


def test_lists_saved_by_a_spreadsheet_on_windows_are_read(tmp_path):
    file = tmp_path / "list.csv"
    text = "\ufeff" + IMAGES + "1,a.jpg\n"
    file.write_bytes(text.replace("\n", "\r\n").encode())
    assert read_image_list(file)["path"].tolist() == ["a.jpg"]
    text = "\ufeff" + SPLITS + "1,train,x\n"
    file.write_bytes(text.replace("\n", "\r\n").encode())
    assert read_splits(file)["class_name"].tolist() == ["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: expected the columns image_id,path, got nothing"),
        ("image_id\n", "line 1: expected the columns"),
        ("id,path\n", "got id,path"),
        (
            "image_id,path,split,class_name\n1,a.jpg,train,x\n",
            "got image_id,path,split,class_name: run the list_* stage again",
        ),
        (IMAGES + "1\n", "line 2: expected 2 columns, got 1"),
        (IMAGES + "1,a.jpg,train\n", "line 2: expected 2 columns, got 3"),
        (IMAGES + "1,a.jpg\n\n", "line 3: expected 2 columns, got 0"),
        (IMAGES + ",a.jpg\n", "line 2: the image_id is empty"),
        (IMAGES + "1,\n", "line 2: the path is empty"),
        (
            IMAGES + "1,a.jpg\n2,b.jpg\n1,c.jpg\n",
            "line 4: image_id '1' is already on line 2",
        ),
        (IMAGES + "1,a.jpg\n2,a.jpg\n", "line 3: path 'a.jpg' is already on line 2"),
    ],
)
def test_a_damaged_list_is_refused_with_file_and_line(tmp_path, text, expected):
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        read_image_list(tmp_path / "images.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'images.csv'}, line ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: expected the columns image_id,split,class_name, got nothing"),
        ("image_id,path\n", "got image_id,path: run the list_* stage again"),
        (SPLITS + "1,train\n", "line 2: expected 3 columns, got 2"),
        (SPLITS + "1,train,x,y\n", "line 2: expected 3 columns, got 4"),
        (SPLITS + "1,train,x\n\n", "line 3: expected 3 columns, got 0"),
        (SPLITS + ",train,x\n", "line 2: the image_id is empty"),
        (
            SPLITS + '1,train,"a\nb"\n2,val,x\n',
            "line 4: the split must be one of train, test, got 'val'",
        ),
        (SPLITS + "1,Train,x\n", "got 'Train'"),
        (SPLITS + "1,,x\n", "got ''"),
        (
            SPLITS + "1,train,x\n2,test,x\n1,test,x\n",
            "line 4: image_id '1' is already on line 2",
        ),
    ],
)
def test_damaged_splits_are_refused_with_file_and_line(tmp_path, text, expected):
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        read_splits(tmp_path / "splits.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'splits.csv'}, line ")


@pytest.mark.parametrize(
    ("read", "header"), [(read_image_list, IMAGES), (read_splits, SPLITS)]
)
def test_a_list_that_is_not_utf8_is_refused_with_its_name(tmp_path, read, header):
    (tmp_path / "list.csv").write_bytes(header.encode() + b"1,\xff.jpg,train,x\n")
    with pytest.raises(ValueError, match=r"list\.csv, line 1: not a CSV file"):
        read(tmp_path / "list.csv")


def test_what_records_activations_knows_nothing_of_splits():
    here = "vitproto/data/image_list.py: "
    recording, fitting = (
        {name.removeprefix(here) for name in reached(stage) if name.startswith(here)}
        for stage in ("record_activations", "fit_pca")
    )
    readers = {"read_image_list", "read_splits"}
    assert recording & readers == {"read_image_list"}
    assert fitting & readers == {"read_splits"}
    assert not recording & {"COLUMNS", "SPLIT_COLUMNS", "SPLITS"}


@pytest.mark.parametrize(
    ("image_ids", "expected"),
    [
        (["a", "c"], r"1 images are missing in s\.h5, first 'b', number 2 of i\.csv"),
        ([], r"3 images are missing in s\.h5, first 'a'"),
        (["a", "b", "x", "c"], r"1 images of s\.h5 are not in i\.csv, first 'x', nu"),
        (
            ["a", "b", "c", "b"],
            r"more than once \(i\.csv lists 3 images, s\.h5 has 4\)",
        ),
        (["a", "c", "b"], r"'b' is number 2 in the first and 3 in the second"),
    ],
)
def test_images_that_disagree_are_named_with_their_places(image_ids, expected):
    with pytest.raises(ValueError, match=expected):
        check_same_images(image_ids, "s.h5", ["a", "b", "c"], "i.csv")


def test_the_same_images_in_the_same_order_pass():
    check_same_images(["a", "b"], "s.h5", ["a", "b"], "i.csv")
