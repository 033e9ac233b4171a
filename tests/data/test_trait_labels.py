import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from vitproto.data.trait_labels import TraitLabels

LABELS = TraitLabels(
    image_ids=["1", "0002", "NA"],
    trait_names=["has_bill_shape::curved_(up_or_down)", "wing: blue"],
    labels_NT=np.array([[True, False], [False, False], [True, True]]),
    known_NT=np.array([[True, True], [False, True], [True, True]]),
    answers_NT=np.uint8([[12, 0], [1, 4], [11, 12]]),
)


def test_labels_come_back_as_they_were_saved(tmp_path):
    LABELS.save(tmp_path / "traits.npz")
    loaded = TraitLabels.load(tmp_path / "traits.npz")
    assert loaded.image_ids == LABELS.image_ids
    assert loaded.trait_names == LABELS.trait_names
    for table in ("labels_NT", "known_NT", "answers_NT"):
        np.testing.assert_array_equal(getattr(loaded, table), getattr(LABELS, table))


def test_a_data_set_without_answers_has_none(tmp_path):
    replace(LABELS, answers_NT=None).save(tmp_path / "traits.npz")
    assert TraitLabels.load(tmp_path / "traits.npz").answers_NT is None


def test_an_unknown_label_that_is_true_is_refused():
    with pytest.raises(ValueError, match="an unknown label says"):
        replace(LABELS, labels_NT=np.ones((3, 2), bool))


def test_the_file_holds_no_date_so_that_the_same_labels_give_the_same_bytes(tmp_path):
    LABELS.save(tmp_path / "traits.npz")
    with zipfile.ZipFile(tmp_path / "traits.npz") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}
    LABELS.save(tmp_path / "again.npz")
    first, second = (tmp_path / "traits.npz"), (tmp_path / "again.npz")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("ids", "names", "expected"),
    [
        (["a", "b"], ["x"], r"2 image ids and 1 trait names do not fit .* \(2, 2\)"),
        (["a", "a"], ["x", "y"], "the image id 'a' appears twice"),
        (["a", "b"], ["x", "x"], "the trait name 'x' appears twice"),
    ],
)
def test_labels_that_contradict_themselves_are_refused(ids, names, expected):
    with pytest.raises(ValueError, match=expected):
        TraitLabels(ids, names, np.zeros((2, 2), bool), np.ones((2, 2), bool))


def tables(shape):
    return {"labels_NT": np.zeros(shape, bool), "known_NT": np.ones(shape, bool)}


def _damage(path, kind):
    if kind == "cut off":
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "one bit flipped":
        data = bytearray(path.read_bytes())
        # The last byte of the last array, just before the archive's directory.
        data[data.index(b"PK\x01\x02") - 1] ^= 1
        path.write_bytes(data)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "a pickle":
        path.write_bytes(pickle.dumps(LABELS.image_ids))
    elif kind == "a pickle inside":
        np.savez(path, image_ids=np.array([["a"], 1], dtype=object))
    elif kind == "without names":
        np.savez(path, image_ids=np.array(["a"]), **tables((1, 1)))
    elif kind == "with numbers for labels":
        np.savez(
            path,
            image_ids=np.array(["a"]),
            trait_names=np.array(["x"]),
            labels_NT=np.zeros((1, 1)),
            known_NT=np.ones((1, 1), bool),
        )
    elif kind == "with text for answers":
        np.savez(
            path,
            image_ids=np.array(["a"]),
            trait_names=np.array(["x"]),
            answers_NT=np.array([["yes"]]),
            **tables((1, 1)),
        )
    elif kind == "without known labels":
        np.savez(
            path,
            image_ids=np.array(["a"]),
            trait_names=np.array(["x"]),
            labels_NT=np.zeros((1, 1), bool),
        )
    elif kind == "of another shape":
        np.savez(
            path,
            image_ids=np.array(["a"]),
            trait_names=np.array(["x"]),
            **tables((2, 1)),
        )


@pytest.mark.parametrize(
    "kind",
    [
        "cut off",
        "one bit flipped",
        "empty",
        "a pickle",
        "a pickle inside",
        "without names",
        "with numbers for labels",
        "with text for answers",
        "without known labels",
        "of another shape",
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, kind):
    path = tmp_path / "traits.npz"
    LABELS.save(path)
    _damage(path, kind)
    with pytest.raises(ValueError, match=r"traits\.npz holds no trait labels"):
        TraitLabels.load(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"there is no .*traits\.npz: run the stage"):
        TraitLabels.load(tmp_path / "traits.npz")
