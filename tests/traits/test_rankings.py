"""Rankings that are sorted once give the APs of `average_precision`, bit for bit."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vitproto.traits.average_precision import average_precision
from vitproto.traits.rankings import Rankings

ODD_FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1.5, 3e38, np.inf, -np.inf]

tied = st.sampled_from([np.float32(value) for value in ODD_FLOATS])
any_float = st.floats(width=32, allow_nan=False)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_every_table_of_labels_gets_the_bits_of_average_precision(data):
    n, k, t = data.draw(st.tuples(*[st.integers(1, m) for m in (40, 5, 6)]))
    scores_NK = data.draw(hnp.arrays(np.float32, (n, k), elements=tied | any_float))
    rankings = Rankings(scores_NK)
    for _ in range(2):
        labels_NT = data.draw(hnp.arrays(np.bool_, (n, t)))
        known_NT = data.draw(
            hnp.arrays(np.bool_, (n, t)) | st.just(np.ones((n, t), bool))
        )
        expected_KT = average_precision(scores_NK, labels_NT, known_NT)
        ap_KT = rankings.average_precision(labels_NT, known_NT)
        np.testing.assert_array_equal(ap_KT, expected_KT)
        prototype_T = data.draw(hnp.arrays(np.int64, t, elements=st.integers(0, k - 1)))
        ap_T = rankings.average_precision_of(prototype_T, labels_NT, known_NT)
        np.testing.assert_array_equal(ap_T, expected_KT[prototype_T, np.arange(t)])


def test_many_prototypes_and_any_number_of_threads():
    rng = np.random.default_rng(0)
    scores_NK = np.maximum(rng.normal(size=(300, 100)), 0).astype(np.float32)
    labels_NT = rng.random((300, 12)) < 0.2
    known_NT = rng.random((300, 12)) < 0.9
    expected_KT = average_precision(scores_NK, labels_NT, known_NT)
    before = numba.get_num_threads()
    for n_threads in sorted({1, before}):
        numba.set_num_threads(n_threads)
        ap_KT = Rankings(scores_NK).average_precision(labels_NT, known_NT)
        np.testing.assert_array_equal(ap_KT, expected_KT)
    numba.set_num_threads(before)


def test_nan_is_refused_and_the_prototype_named():
    scores_NK = np.zeros((30, 50), np.float32)
    scores_NK[7, 41] = np.nan
    with pytest.raises(ValueError, match="prototype 41"):
        Rankings(scores_NK)
