from itertools import permutations

import numpy as np
import pytest

from vitproto.traits.average_precision import average_precision
from vitproto.traits.chance import chance_of, expected_ap, prevalence_of


def chance(n, m):
    return expected_ap(np.array([n]), np.array([m]))[0]


@pytest.mark.parametrize("n", range(1, 7))
def test_it_is_the_mean_over_all_orders_of_the_images(n):
    scores_NK = np.float32(list(permutations(range(n)))).T
    labels_NT = np.arange(n)[:, None] < np.arange(1, n + 1)  # 1 to n images show it
    mean_T = average_precision(scores_NK, labels_NT).mean(axis=0)
    chance_T = expected_ap(np.full(n, n), np.arange(1, n + 1))
    np.testing.assert_allclose(chance_T, mean_T, atol=1e-12)


def test_small_cases_worked_out_by_hand():
    assert chance(2, 1) == pytest.approx((1 + 1 / 2) / 2)
    assert chance(3, 1) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    # The image without the trait is first, second or third.
    assert chance(3, 2) == pytest.approx((7 / 12 + 5 / 6 + 1) / 3)
    assert chance(5, 5) == 1


def test_it_is_what_random_scores_reach_in_large_samples():
    rng = np.random.default_rng(0)
    labels_NT = np.arange(500)[:, None] < [2, 20, 200]
    scores_NK = rng.standard_normal((500, 4000), dtype=np.float32)
    ap_KT = average_precision(scores_NK, labels_NT)
    chance_T = expected_ap(np.full(3, 500), labels_NT.sum(axis=0))
    error_T = ap_KT.std(axis=0) / np.sqrt(len(ap_KT))
    assert (np.abs(ap_KT.mean(axis=0) - chance_T) < 3 * error_T).all()
    # Constant scores reach less: a rare trait 0.004, where a random ranking has 0.015.
    assert chance_T[0] > 3 * 2 / 500
    assert (chance_T > labels_NT.mean(axis=0)).all()


def test_each_trait_has_its_own_number_of_images():
    chance_T = expected_ap(np.array([2, 1, 3, 0, 4]), np.array([1, 1, 1, 0, 0]))
    np.testing.assert_allclose(chance_T, [0.75, 1, 11 / 18, np.nan, np.nan])


def test_unknown_labels_count_neither_as_shown_nor_as_absent():
    labels_NT = np.array([[1, 0], [1, 1], [0, 1], [0, 1]], dtype=bool)
    known_NT = np.array([[1, 1], [0, 0], [1, 0], [1, 0]], dtype=bool)
    np.testing.assert_allclose(prevalence_of(labels_NT, known_NT), [1 / 3, 0])
    np.testing.assert_allclose(chance_of(labels_NT, known_NT), [11 / 18, np.nan])
    none_NT = np.zeros_like(known_NT)
    assert prevalence_of(labels_NT, none_NT).tolist() == [0, 0]
    assert np.isnan(chance_of(labels_NT, none_NT)).all()
