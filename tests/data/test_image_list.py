import re

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitproto.data.image_list import (
    COLUMNS,
    check_same_images,
    read_image_list,
    write_image_list,
)

HEADER = "image_id,path,split,class_name\n"


def _images(*rows):
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def test_ids_and_names_that_look_like_numbers_or_gaps_stay_text(tmp_path):
    images = _images(
        ("0001", "images/NA/1.jpg", "train", "NA"),
        ("NA", "images/nan/1.50.jpg", "test", "nan"),
        ("1e3", 'images/a, "b"/c d.jpg', "train", ""),
        ("True", "images/Ü/ß.jpg", "test", "007"),
    )
    write_image_list(images, tmp_path / "images.csv")
    pd.testing.assert_frame_equal(read_image_list(tmp_path / "images.csv"), images)


# Carriage returns are left out: no data set has them, and a CSV file that does
# is refused on reading.
_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_text, _text, st.sampled_from(["train", "test"]), _text)))
def test_any_list_comes_back_as_it_was_written(tmp_path, rows):
    rows = [(f"{i}{r[0]}", f"{i}{r[1]}", *r[2:]) for i, r in enumerate(rows)]
    write_image_list(_images(*rows), tmp_path / "images.csv")
    read = read_image_list(tmp_path / "images.csv")
    assert list(read.itertuples(index=False, name=None)) == rows


def test_the_same_list_gives_the_same_bytes_with_unix_line_ends(tmp_path):
    write_image_list(_images(("1", "a.jpg", "train", "x")), tmp_path / "images.csv")
    assert (tmp_path / "images.csv").read_bytes() == (
        HEADER + "1,a.jpg,train,x\n"
    ).encode()


def test_a_list_saved_by_a_spreadsheet_on_windows_is_read(tmp_path):
    text = "\ufeff" + HEADER + "1,a.jpg,train,x\n"
    (tmp_path / "images.csv").write_bytes(text.replace("\n", "\r\n").encode())
    assert read_image_list(tmp_path / "images.csv")["path"].tolist() == ["a.jpg"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "",
            "line 1: expected the columns image_id,path,split,class_name, got nothing",
        ),
        ("image_id,path,split\n", "line 1: expected the columns"),
        ("id,path,split,class_name\n", "got id,path,split,class_name"),
        (HEADER + "1,a.jpg,train\n", "line 2: expected 4 columns, got 3"),
        (HEADER + "1,a.jpg,train,x,y\n", "line 2: expected 4 columns, got 5"),
        (HEADER + "1,a.jpg,train,x\n\n", "line 3: expected 4 columns, got 0"),
        (HEADER + ",a.jpg,train,x\n", "line 2: the image_id is empty"),
        (HEADER + "1,,train,x\n", "line 2: the path is empty"),
        (
            HEADER + "1,a.jpg,val,x\n",
            "line 2: the split must be one of train, test, got",
        ),
        (HEADER + "1,a.jpg,Train,x\n", "got 'Train'"),
        (
            HEADER + "1,a.jpg,train,x\n2,b.jpg,test,x\n1,c.jpg,test,x\n",
            "line 4: image_id '1' is already on line 2",
        ),
        (
            HEADER + "1,a.jpg,train,x\n2,a.jpg,test,x\n",
            "line 3: path 'a.jpg' is already on line 2",
        ),
    ],
)
def test_a_damaged_list_is_refused_with_file_and_line(tmp_path, text, expected):
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        read_image_list(tmp_path / "images.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'images.csv'}, line ")


def test_a_list_that_is_not_utf8_is_refused_with_its_name(tmp_path):
    (tmp_path / "images.csv").write_bytes(HEADER.encode() + b"1,\xff.jpg,train,x\n")
    with pytest.raises(ValueError, match=r"images\.csv, after line 0: not a CSV file"):
        read_image_list(tmp_path / "images.csv")


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
