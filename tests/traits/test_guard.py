import numpy as np
import pytest

from vitproto.data.trait_labels import TraitLabels
from vitproto.traits.average_precision import average_precision
from vitproto.traits.guard import CONSTANT_MAP_LIMIT, check_labels

SPLITS = ["train", "train", "test", "test"] * 25
NAMES = ["has_red_wing", "has_long_tail"]


def labels_with(train, test):
    """100 images whose two traits are shown by these shares of each split."""
    labels_NT = np.zeros((100, 2), bool)
    for split, shares in (("train", train), ("test", test)):
        rows = np.flatnonzero([value == split for value in SPLITS])
        for t, share in enumerate(shares):
            labels_NT[rows[: round(share * len(rows))], t] = True
    return labels_NT


def check(labels_NT, names=NAMES, splits=SPLITS, known_NT=None, answers=True):
    """Check labels that were made of annotators' answers, or read from a table."""
    known_NT = np.ones_like(labels_NT) if known_NT is None else known_NT
    answers_NT = np.zeros(labels_NT.shape, np.uint8) if answers else None
    ids = [str(i) for i in range(len(labels_NT))]
    labels = TraitLabels(ids, list(names), labels_NT, known_NT, answers_NT)
    check_labels(labels, splits)


def test_sparse_labels_pass():
    check(labels_with(train=(0.1, 0.2), test=(0.2, 0.1)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_that_are_nearly_all_present_stop_the_run_and_say_why(split):
    shares = {"train": (0.1, 0.2), "test": (0.1, 0.2), split: (0.7, 0.96)}
    with pytest.raises(ValueError, match="constant scores would reach") as error:
        check(labels_with(**shares))
    message = str(error.value)
    assert f"mAP of 0.83 on the {split} labels (limit 0.5)" in message
    assert "has_long_tail 96%, has_red_wing 70% of 50 images" in message
    assert "`present`" in message


def test_the_limit_is_on_what_constant_scores_really_reach():
    labels_NT = labels_with(train=(0.4, 0.6), test=(0.4, 0.62))
    test = np.array(SPLITS) == "test"
    reached = average_precision(np.ones((50, 1), np.float32), labels_NT[test])
    assert reached.mean() > CONSTANT_MAP_LIMIT
    with pytest.raises(ValueError, match=f"mAP of {reached.mean():.2f} on the test"):
        check(labels_NT)
    check(labels_with(train=(0.4, 0.6), test=(0.4, 0.6)))


def test_traits_that_nobody_shows_do_not_hide_bad_labels():
    labels_NT = np.hstack([labels_with((0.9,) * 2, (0.9,) * 2), np.zeros((100, 9))])
    with pytest.raises(ValueError, match=r"mAP of 0\.90"):
        check(labels_NT > 0, [f"trait{t}" for t in range(11)])


@pytest.mark.parametrize(("only", "lacking"), [("train", "test"), ("test", "train")])
def test_an_empty_split_stops_the_run(only, lacking):
    labels_NT = labels_with(train=(0.1, 0.1), test=(0.1, 0.1))
    with pytest.raises(ValueError, match=f"100 images is in the {lacking} split"):
        check(labels_NT, splits=[only] * 100)


def test_a_split_that_shows_no_trait_stops_the_run():
    labels_NT = labels_with(train=(0.1, 0.1), test=(0, 0))
    with pytest.raises(ValueError, match="none of the 50 test images shows any"):
        check(labels_NT)


def test_unknown_labels_hide_nothing():
    """All that is known of the traits is present, in a tenth of the images."""
    labels_NT = labels_with(train=(0.1, 0.1), test=(0.1, 0.1))
    check(labels_NT)
    with pytest.raises(ValueError, match=r"mAP of 1\.00 on the train labels"):
        check(labels_NT, known_NT=labels_NT.copy())


def test_a_table_may_hold_traits_that_most_images_show():
    check(labels_with(train=(0.7, 0.9), test=(0.7, 0.9)), answers=False)
    with pytest.raises(ValueError, match="none of the 50 test images shows any"):
        check(labels_with(train=(0.7, 0.9), test=(0, 0)), answers=False)
