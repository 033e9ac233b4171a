import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from vitproto.traits.average_precision import average_precision

# Few values, so that ties are everywhere, and all that is odd about floats.
ODD_FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1.5, 3e38, np.inf, -np.inf]


def slow_average_precision(scores_NK, traits_NT):
    """The definition, written out."""
    ap_KT = np.full((scores_NK.shape[1], traits_NT.shape[1]), np.nan)
    rank_NK = rankdata(-scores_NK, method="max", axis=0)
    for t, shows_N in enumerate(traits_NT.T):
        if shows_N.any():
            rank_PK = rankdata(-scores_NK[shows_N], method="max", axis=0)
            ap_KT[:, t] = (rank_PK / rank_NK[shows_N]).mean(axis=0)
    return ap_KT


@st.composite
def scores_and_labels(draw, elements):
    n, k, t = draw(st.tuples(*[st.integers(1, m) for m in (40, 5, 6)]))
    scores_NK = draw(hnp.arrays(np.float32, (n, k), elements=elements))
    labels_NT = draw(hnp.arrays(np.bool_, (n, t)))
    return scores_NK, labels_NT


tied = st.sampled_from([np.float32(value) for value in ODD_FLOATS])
any_float = st.floats(width=32, allow_nan=False)


def random_case(n, k, t, seed=0):
    rng = np.random.default_rng(seed)
    scores_NK = rng.standard_normal((n, k), dtype=np.float32)
    return scores_NK, rng.random((n, t)) < 0.1


def test_best_and_worst_ranking_of_four_images():
    scores_NK = np.array([[4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    labels_NT = np.array([[True], [True], [False], [False]])
    # Prototype 1 ranks the two images third and fourth: (1/3 + 2/4) / 2 = 5/12.
    np.testing.assert_allclose(average_precision(scores_NK, labels_NT), [[1], [5 / 12]])


def test_a_tie_in_the_middle_counts_as_one_group():
    # Ranks 1 | 2 3 4 | 5. Shown: one in the group, and the last.
    scores_NK = np.float32([[9], [5], [5], [5], [1]])
    labels_NT = np.array([[0], [0], [1], [0], [1]], dtype=bool)
    # Precision at the group's end 1/4, at the end of all 2/5.
    expected = (1 / 4 + 2 / 5) / 2
    np.testing.assert_allclose(average_precision(scores_NK, labels_NT), [[expected]])


def test_constant_scores_reach_the_prevalence_of_each_trait():
    labels_NT = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], dtype=bool)
    ap_KT = average_precision(np.zeros((4, 3), np.float32), labels_NT)
    np.testing.assert_array_equal(ap_KT, [[0.75, 0.25]] * 3)


def test_a_dead_prototype_gains_nothing_from_images_that_are_sorted_by_class():
    labels_NT = np.arange(100)[:, None] < 10  # the first ten images show it
    scores_NK = np.zeros((100, 1), np.float32)
    assert average_precision(scores_NK, labels_NT)[0, 0] == pytest.approx(0.1)
    assert average_precision(scores_NK, labels_NT[::-1])[0, 0] == pytest.approx(0.1)


def test_a_trait_that_no_image_shows_has_no_ap():
    scores_NK, labels_NT = random_case(20, 3, 2)
    labels_NT[:, 1] = False
    labels_NT[3, 0] = True
    ap_KT = average_precision(scores_NK, labels_NT)
    assert np.isnan(ap_KT[:, 1]).all()
    assert np.isfinite(ap_KT[:, 0]).all()


@settings(max_examples=200, deadline=None)
@given(scores_and_labels(st.one_of(tied, any_float)))
def test_agrees_with_the_definition_and_with_scikit_learn(case):
    scores_NK, labels_NT = case
    ap_KT = average_precision(scores_NK, labels_NT)
    np.testing.assert_allclose(
        ap_KT, slow_average_precision(scores_NK, labels_NT), rtol=0, atol=1e-12
    )
    # scikit-learn refuses infinities, but ranks anything that it accepts.
    finite_NK = np.nan_to_num(scores_NK.astype(np.float64), posinf=1e300, neginf=-1e300)
    for k, t in np.argwhere(~np.isnan(ap_KT)):
        expected = average_precision_score(labels_NT[:, t], finite_NK[:, k])
        assert ap_KT[k, t] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(scores_and_labels(tied), st.randoms(use_true_random=False))
def test_the_order_of_the_images_changes_no_bit(case, random):
    scores_NK, labels_NT = case
    order = list(range(len(scores_NK)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        average_precision(scores_NK, labels_NT),
        average_precision(scores_NK[order], labels_NT[order]),
    )


@settings(max_examples=50, deadline=None)
@given(scores_and_labels(tied))
def test_float64_scores_that_float32_would_tie_are_told_apart(case):
    scores_NK, labels_NT = case
    fine_NK = np.nan_to_num(scores_NK.astype(np.float64), posinf=4e38, neginf=-4e38)
    fine_NK = fine_NK * (1 + 1e-12 * np.arange(len(fine_NK)))[:, None]
    np.testing.assert_allclose(
        average_precision(fine_NK, labels_NT),
        slow_average_precision(fine_NK, labels_NT),
        rtol=0,
        atol=1e-12,
    )


def test_agrees_at_the_size_of_a_real_split_dense_and_mostly_zero():
    scores_NK, labels_NT = random_case(3000, 40, 30)
    sparse_NK = np.maximum(scores_NK - 1.28, 0)
    sparse_NK[:, 0] = 0  # a dead latent
    for case_NK in (scores_NK, sparse_NK, np.round(scores_NK * 8)):
        np.testing.assert_allclose(
            average_precision(case_NK, labels_NT),
            slow_average_precision(case_NK, labels_NT),
            rtol=0,
            atol=1e-12,
        )


def test_more_images_than_16_bits_can_number():
    scores_NK, labels_NT = random_case(70_000, 2, 2)
    np.testing.assert_allclose(
        average_precision(scores_NK, labels_NT),
        slow_average_precision(scores_NK, labels_NT),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(("n", "k", "t"), [(1, 1, 1), (5, 0, 3), (5, 3, 0), (0, 2, 3)])
def test_edge_sizes_give_a_table_of_prototypes_by_traits(n, k, t):
    labels_NT = np.ones((n, t), bool)
    ap_KT = average_precision(np.ones((n, k), np.float32), labels_NT)
    np.testing.assert_array_equal(ap_KT, np.full((k, t), 1.0 if n else np.nan))


def test_memory_layout_and_label_type_do_not_matter():
    scores_NK, labels_NT = random_case(200, 70, 9)
    expected = average_precision(scores_NK, labels_NT)
    wide_NK = np.repeat(scores_NK, 2, axis=1)
    for same_NK in (np.asfortranarray(scores_NK), wide_NK[:, ::2]):
        np.testing.assert_array_equal(average_precision(same_NK, labels_NT), expected)
    for same_NT in (labels_NT.astype(np.uint8), np.asfortranarray(labels_NT)):
        np.testing.assert_array_equal(average_precision(scores_NK, same_NT), expected)


def test_float16_scores_count_as_what_they_are():
    scores_NK, labels_NT = random_case(200, 4, 9)
    half_NK = scores_NK.astype(np.float16)
    np.testing.assert_array_equal(
        average_precision(half_NK, labels_NT),
        average_precision(half_NK.astype(np.float64), labels_NT),
    )


def test_the_number_of_threads_changes_no_bit():
    scores_NK, labels_NT = random_case(500, 200, 20)
    before = numba.get_num_threads()
    results = []
    for n_threads in sorted({1, before}):
        numba.set_num_threads(n_threads)
        results.append(average_precision(scores_NK, labels_NT).tobytes())
    numba.set_num_threads(before)
    assert len(set(results)) == 1


def test_scores_are_left_as_they_were():
    scores_NK, labels_NT = random_case(50, 3, 3)
    before = scores_NK.copy()
    average_precision(scores_NK, labels_NT)
    np.testing.assert_array_equal(scores_NK, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_is_refused_and_the_prototype_named(dtype):
    scores_NK = np.zeros((30, 50), dtype)
    scores_NK[7, 41] = -np.nan
    with pytest.raises(ValueError, match="prototype 41"):
        average_precision(scores_NK, np.ones((30, 2), bool))


def test_too_many_traits_are_refused():
    with pytest.raises(ValueError, match="65,536"):
        average_precision(np.zeros((1, 1), np.float32), np.zeros((1, 65_537), bool))


def test_the_last_trait_that_16_bits_can_name_is_still_right():
    labels_NT = np.zeros((3, 65_536), bool)
    labels_NT[2, -1] = True
    ap_KT = average_precision(np.float32([[3], [2], [1]]), labels_NT)
    assert ap_KT[0, -1] == pytest.approx(1 / 3)


@given(scores_and_labels(tied | any_float), st.data())
@settings(max_examples=200, deadline=None)
def test_images_with_an_unknown_label_count_for_no_precision_of_that_trait(case, data):
    scores_NK, labels_NT = case
    known_NT = data.draw(hnp.arrays(np.bool_, labels_NT.shape))
    ap_KT = average_precision(scores_NK, labels_NT, known_NT)
    finite_NK = np.clip(scores_NK, -3e38, 3e38)
    for t, known_N in enumerate(known_NT.T):
        shows_N = labels_NT[known_N, t]
        slow_K1 = slow_average_precision(scores_NK[known_N], shows_N[:, None])
        np.testing.assert_allclose(ap_KT[:, t], slow_K1[:, 0], rtol=0, atol=1e-12)
        if shows_N.any() and (finite_NK == scores_NK).all():
            expected_K = [
                average_precision_score(shows_N, column)
                for column in scores_NK[known_N].T
            ]
            np.testing.assert_allclose(ap_KT[:, t], expected_K, atol=1e-6)


def test_unknown_labels_worked_out_by_hand():
    # Ranking 4 3 2 1: the second is unknown, the third and fourth tie.
    scores_NK = np.float32([[4], [3], [1], [1]])
    labels_NT = np.array([[0, 1], [1, 1], [1, 0], [0, 1]], dtype=bool)
    known_NT = np.array([[1, 1], [0, 1], [1, 0], [1, 1]], dtype=bool)
    ap_KT = average_precision(scores_NK, labels_NT, known_NT)
    np.testing.assert_allclose(ap_KT, [[1 / 3, (1 + 1 + 3 / 3) / 3]])


def test_known_labels_change_no_bit_and_unknown_ones_work_in_every_precision():
    scores_NK, labels_NT = random_case(200, 70, 9)
    expected = average_precision(scores_NK, labels_NT)
    same = average_precision(scores_NK, labels_NT, np.ones_like(labels_NT))
    np.testing.assert_array_equal(same, expected)
    known_NT = np.random.default_rng(1).random(labels_NT.shape) < 0.7
    expected = average_precision(scores_NK, labels_NT, known_NT)
    fine_NK = scores_NK.astype(np.float64)
    for same in (
        average_precision(fine_NK, labels_NT, known_NT),
        average_precision(scores_NK, labels_NT & known_NT, known_NT),
        average_precision(scores_NK, labels_NT | ~known_NT, known_NT),
    ):
        np.testing.assert_array_equal(same, expected)
