"""Curves of precision against recall: by hand, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from vitproto.traits.precision_recall import precision_recall


def test_four_images_of_which_two_are_tied():
    scores_M = np.array([0.9, 0.5, 0.5, 0.1])
    shows_M = np.array([True, False, True, False])
    recall_R, precision_R = precision_recall(scores_M, shows_M)
    np.testing.assert_allclose(recall_R, [1 / 2, 1, 1])
    np.testing.assert_allclose(precision_R, [1, 2 / 3, 1 / 2])


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40).map(
        lambda rows: [*rows, (2, True)]
    )
)
def test_curve_is_that_of_scikit_learn_and_its_area_is_ap(rows):
    scores_M = np.array([float(score) for score, _ in rows])
    shows_M = np.array([shows for _, shows in rows])
    recall_R, precision_R = precision_recall(scores_M, shows_M)
    precision, recall, _ = precision_recall_curve(shows_M, scores_M)
    np.testing.assert_allclose(recall_R, recall[-2::-1])
    np.testing.assert_allclose(precision_R, precision[-2::-1])
    area = (np.diff(recall_R, prepend=0) * precision_R).sum()
    assert area == pytest.approx(average_precision_score(shows_M, scores_M))


def test_no_image_with_the_trait_is_refused():
    with pytest.raises(ValueError, match="no recall"):
        precision_recall(np.array([1.0]), np.array([False]))
