"""AP in resamples, against scikit-learn with sample weights."""

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score

from vitproto.traits.average_precision import average_precision
from vitproto.traits.resampled_ap import draw_counts, resample_ap


def test_an_image_that_is_taken_twice_ties_with_its_copy():
    scores_NM = np.array([[3.0], [2.0], [1.0]], np.float32)
    labels_NM = np.array([[False], [True], [True]])
    counts_RG = np.array([[1, 1, 1], [1, 2, 0], [2, 0, 1], [3, 0, 0]])
    ap_RM = resample_ap(scores_NM, labels_NM, np.arange(3), counts_RG)
    # (1/2 + 2/3) / 2; both copies of the second at 2/3; the third at 1/3; none shows.
    np.testing.assert_allclose(ap_RM[:, 0], [7 / 12, 2 / 3, 1 / 3, np.nan])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_every_resample_equals_scikit_learn_with_ties_and_unknown_labels(
    seed, n_values, some_unknown
):
    rng = np.random.default_rng(seed)
    n_images, n_columns, n_groups = int(rng.integers(2, 40)), 3, int(rng.integers(1, 9))
    scores_NM = rng.integers(-n_values, n_values, (n_images, n_columns)) / 2 + 0.0
    labels_NM = rng.random((n_images, n_columns)) < 0.4
    known_NM = rng.random((n_images, n_columns)) < (0.7 if some_unknown else 1.0)
    group_N = rng.integers(0, n_groups, n_images)
    counts_RG = draw_counts(n_groups, 5, rng)
    ap_RM = resample_ap(
        scores_NM.astype(np.float32), labels_NM, group_N, counts_RG, known_NM
    )
    for r, m in np.ndindex(ap_RM.shape):
        weight_N = counts_RG[r][group_N] * known_NM[:, m]
        if (weight_N * labels_NM[:, m]).sum() == 0:
            assert np.isnan(ap_RM[r, m])
            continue
        expected = average_precision_score(
            labels_NM[:, m], scores_NM[:, m], sample_weight=weight_N.astype(float)
        )
        assert ap_RM[r, m] == pytest.approx(expected, abs=1e-12)


def test_taking_each_image_once_gives_the_ap_whatever_the_number_of_threads():
    rng = np.random.default_rng(0)
    scores_NM = rng.normal(size=(300, 40)).astype(np.float32).clip(0)
    labels_NM = rng.random((300, 40)) < 0.1
    group_N = rng.integers(0, 20, 300)
    counts_RG = np.concatenate([np.ones((1, 20), int), draw_counts(20, 50, rng)])
    ap_RM = resample_ap(scores_NM, labels_NM, group_N, counts_RG)
    expected_M = np.diag(average_precision(scores_NM, labels_NM))
    np.testing.assert_allclose(ap_RM[0], expected_M, rtol=1e-12)
    n_threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone_RM = resample_ap(scores_NM, labels_NM, group_N, counts_RG)
    finally:
        numba.set_num_threads(n_threads)
    assert alone_RM.tobytes() == ap_RM.tobytes()


def test_bad_scores_and_counts_are_refused():
    scores_NM, labels_NM = np.zeros((2, 1), np.float32), np.ones((2, 1), bool)
    with pytest.raises(ValueError, match="counts of -1 to 1"):
        resample_ap(scores_NM, labels_NM, np.arange(2), np.array([[-1, 1]]))
    scores_NM[1] = np.nan
    with pytest.raises(ValueError, match="column 0 contain NaN"):
        resample_ap(scores_NM, labels_NM, np.arange(2), np.ones((1, 2), int))


def test_resamples_draw_one_group_less_than_there_are():
    counts_RG = draw_counts(7, 100, np.random.default_rng(0))
    assert (counts_RG.sum(axis=1) == 6).all()
    assert draw_counts(1, 3, np.random.default_rng(0)).tolist() == [[1], [1], [1]]
