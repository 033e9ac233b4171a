"""Parts of variance worked out by hand, and intervals against SciPy."""

import numpy as np
import pytest
from scipy import stats

from vitproto.traits.intervals import (
    Part,
    Resampled,
    TraitSpread,
    difference_parts,
    image_part,
    map_spread,
    mean_fit_variance,
    seed_part,
    t_interval,
    trait_part,
    trait_spread,
)


def test_one_part_gives_students_interval():
    interval = t_interval(0.5, [Part(0.04, 3)])
    expected = stats.t.interval(0.95, 3, loc=0.5, scale=0.2)
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert interval.p == pytest.approx(2 * stats.t.sf(2.5, 3))


def test_two_parts_add_up_with_the_degrees_of_freedom_of_welch():
    a, b = [1.0, 2.0, 4.0, 4.5], [2.0, 5.0, 7.0]
    parts = [Part(np.var(x, ddof=1) / len(x), len(x) - 1) for x in (a, b)]
    interval = t_interval(np.mean(a) - np.mean(b), parts)
    welch = stats.ttest_ind(a, b, equal_var=False)
    expected = welch.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.p == pytest.approx(welch.pvalue)


def test_without_variance_the_interval_is_a_point():
    assert t_interval(0.5, [Part(0.0, 3)]) == (0.5, 0.5, 0.5, 0.0)
    assert t_interval(0.0, [Part(0.0, 3)]).p == 1.0


def test_rounding_makes_no_difference():
    """Equal methods, of which one has more seeds: sums in another order."""
    for variance in (0.0, 1e-33, 1e-30):
        assert t_interval(5.6e-17, [Part(variance, 3)]).p == 1.0
    real = t_interval(1e-6, [Part(1e-16, 30)])
    assert real.p < 0.05
    spread = TraitSpread(
        np.array([5.6e-17, 5.6e-17, 0.1]),
        np.array([0.0, 1e-34, 0.0]),
        np.array([9.0, 9.0, 9.0]),
    )
    assert spread.p_T.tolist() == [1.0, 1.0, 0.0]


def test_an_unknown_variance_gives_no_interval():
    assert np.isnan(t_interval(0.5, [Part(np.inf, 1)]).low)


def test_seeds_count_beyond_what_images_explain():
    map_S = np.array([0.4, 0.6])
    still_RS = np.array([[0.4, 0.6], [0.5, 0.7]])  # both move together
    # Variance 0.02 between two seeds, halved for their mean.
    assert seed_part(map_S, still_RS) == pytest.approx((0.01, 1))
    # Against each other by 0.1 up and down: ±0.05 from their mean, variance 0.005 each.
    apart_RS = np.array([[0.45, 0.55], [0.35, 0.65]])
    assert seed_part(map_S, apart_RS) == pytest.approx(((0.02 - 0.01) / 2, 1))
    wild_RS = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert seed_part(map_S, wild_RS).variance == 0


def test_traits_of_one_attribute_vary_together():
    ap_T, group_T = np.array([0.1, 0.3, 0.5, 0.7]), np.array([0, 0, 1, 1])
    still_RT = np.tile(ap_T, (3, 1))
    # The attributes' shares of the mean are apart by (−0.4, +0.4) / 4 = ±0.1.
    assert trait_part(ap_T, still_RT, group_T) == pytest.approx((2 * 0.02, 1))
    alone = trait_part(ap_T, still_RT, np.arange(4))
    assert alone == pytest.approx((ap_T.var(ddof=1) / 4, 3))
    assert trait_part(ap_T, still_RT, np.zeros(4, int)).variance == np.inf


def _row(ap_FST, ap_RT):
    ap_FST = np.asarray(ap_FST, float)
    map_RFS = np.ones((len(ap_RT), *ap_FST.shape[:2])) * ap_FST.mean(axis=2)
    return Resampled(ap_FST, np.asarray(ap_RT, float), map_RFS)


def test_a_trait_that_a_resample_lacks_is_left_out_of_its_mean():
    row = _row([[[0.2, 0.6]]], [[0.2, np.nan], [0.4, 0.6]])
    spread = map_spread(row, 12)
    assert spread[1:] == (None, None)
    assert spread.images == pytest.approx((np.var([0.2, 0.5], ddof=1), 11))


def test_the_same_test_images_cancel_in_a_difference():
    rng = np.random.default_rng(0)
    ap_RT = rng.random((50, 4))
    a, b = _row([[[0.5] * 4]], ap_RT + 0.1), _row([[[0.4] * 4]], ap_RT)
    (part,) = difference_parts(a, b, 12, 0.0)
    assert part.variance == pytest.approx(0, abs=1e-20)
    assert image_part(ap_RT.mean(axis=1), 12).variance > 1e-3


def test_shared_selection_seeds_cancel_and_fits_do_not():
    # Selection seeds move both methods alike; the fits of b are 0.2 apart.
    a = _row([[[0.5], [0.7]]], [[0.6], [0.6]])
    b = _row([[[0.3], [0.5]], [[0.5], [0.7]]], [[0.5], [0.5]])
    images, fits, selections = difference_parts(a, b, 12, 0.0)
    assert images.variance == 0
    assert fits == pytest.approx((np.var([0.4, 0.6], ddof=1) / 2, 1))
    assert selections.variance == pytest.approx(0, abs=1e-20)


def test_fits_that_agree_by_chance_count_with_what_is_usual():
    ap_RT = np.tile([0.5], (4, 1))
    a, b = _row([[[0.4]], [[0.6]]], ap_RT), _row([[[0.5]], [[0.5]]], ap_RT)
    single = _row([[[0.9]]], ap_RT)
    spreads = [map_spread(row, 12) for row in (a, b, single)]
    usual = mean_fit_variance(spreads)  # over those of several fits
    assert usual == pytest.approx(np.var([0.4, 0.6], ddof=1) / 2)
    expected = (0.02 / 2, 1), (usual / 2, 1)
    assert difference_parts(a, b, 12, usual)[1:] == [pytest.approx(x) for x in expected]
    for spread, part in zip(spreads, expected, strict=False):
        assert spread.with_fits(usual) == [spread.images, pytest.approx(part)]
    assert spreads[2].with_fits(usual) == [spreads[2].images]
    assert mean_fit_variance(spreads[2:]) == 0


def test_single_traits_have_as_many_degrees_of_freedom_as_groups_show_them():
    ap_RT = np.array([[0.4, 0.1], [0.6, 0.1]])
    spread = trait_spread(_row([[[0.5, 0.1]]], ap_RT), None, np.array([5, 9]))
    np.testing.assert_allclose(spread.value_T, [0.5, 0.1])
    np.testing.assert_allclose(spread.variance_T, [0.02, 0.0], atol=1e-20)
    assert spread.df_T[0] == 4
    expected = 2 * stats.t.sf(0.5 / 0.02**0.5, 4)
    np.testing.assert_allclose(spread.p_T, [expected, 0.0])


def test_traits_whose_fits_agree_by_chance_count_with_what_is_usual():
    ap_RT = np.tile([0.5, 0.5], (4, 1))
    row = _row([[[0.4, 0.5]], [[0.6, 0.5]]], ap_RT)
    spread = trait_spread(row, None, np.array([5, 5]))
    # 0.02 between two fits of the first trait, 0 of the second; halved for the mean.
    np.testing.assert_allclose(spread.variance_T, [0.02 / 2, 0.01 / 2])
    # One degree of freedom between two fits, of two traits.
    np.testing.assert_allclose(spread.df_T, [2, 2])
