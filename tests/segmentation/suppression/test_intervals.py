"""Intervals of means and of single classes, worked out by hand and simulated."""

import numpy as np
import pytest

from vitproto.segmentation.suppression.intervals import (
    effective_number,
    mean_over_classes,
    of_one_class,
)
from vitproto.segmentation.suppression.terms import LEAST_CLASSES, LEAST_IMAGES

TEN = np.array([1.0] * 5 + [3.0] * 5)
"""Values of ten classes."""
T_OF_TEN, P_OF_TEN = 2.574883, 0.001882
"""With 4.97238 degrees of freedom: the 97.5 % quantile, and twice the tail above 6."""


def test_without_influences_it_is_the_interval_of_student():
    found = mean_over_classes(TEN, np.zeros((10, 5)))
    # s² = 10 / 9, so the error is 1 / 3. 2 / (2 / 9 + 1.8 / 10) = 4.97238 degrees of
    # freedom.
    assert (found.value, found.n) == (2, 10)
    assert found.high - 2 == pytest.approx(T_OF_TEN / 3, rel=1e-5)
    assert 2 - found.low == pytest.approx(T_OF_TEN / 3, rel=1e-5)
    # t = 6 with these degrees of freedom.
    assert found.p == pytest.approx(P_OF_TEN, abs=1e-6)


def test_what_classes_have_in_common_widens_the_interval():
    # One image moves all classes by 1, the other by -1.
    influence_CM = np.tile([1.0, -1.0], (10, 1))
    found = mean_over_classes(TEN, influence_CM)
    # By classes 1 / 9; shared: (2 - 20 / 100) · 2 = 3.6.
    assert found.high == pytest.approx(2 + T_OF_TEN * np.sqrt(3.6 + 1 / 9), rel=1e-5)
    # Images that move classes against each other do not narrow it.
    signs_C1 = np.tile([[1], [-1]], (5, 1))
    against = mean_over_classes(TEN, influence_CM * signs_C1)
    assert against.high == pytest.approx(2 + T_OF_TEN / 3, rel=1e-5)


@pytest.mark.parametrize("n_classes", [1, 2, LEAST_CLASSES - 1])
def test_few_classes_have_a_mean_without_interval_and_p_value(n_classes):
    few = mean_over_classes(np.linspace(0.4, 0.6, n_classes), np.ones((n_classes, 4)))
    assert few.value == pytest.approx(0.5 if n_classes > 1 else 0.4)
    assert few.n == n_classes
    assert np.isnan([few.low, few.high, few.p]).all()


@pytest.mark.parametrize(("n_classes", "least"), [(LEAST_CLASSES, 0.87), (25, 0.93)])
def test_skewed_effects_are_held_more_often_than_with_the_usual_freedom(
    n_classes, least
):
    # With n_classes - 1 degrees of freedom it would be 0.85 and 0.92.
    rng = np.random.default_rng(1)
    means = [
        mean_over_classes(rng.beta(0.15, 0.85, n_classes), np.zeros((n_classes, 2)))
        for _ in range(4000)
    ]
    held = np.mean([mean.low <= 0.15 <= mean.high for mean in means])
    assert held >= least


def test_no_class_has_no_mean():
    assert np.isnan(mean_over_classes(np.zeros(0), np.zeros((0, 4))).value)


def test_a_class_has_an_interval_over_images_and_draws():
    influence_M = np.zeros(20)
    influence_M[:2] = 0.03, -0.03
    images = of_one_class(0.4, influence_M, 20, 20.0)
    # √(2 · 0.03² · 20 / 19) = 0.043529, t of 19 degrees of freedom is 2.09302.
    assert images.high == pytest.approx(0.4 + 2.09302 * 0.043529, abs=1e-5)
    draws = of_one_class(0.4, np.zeros(20), 20, 20.0, np.array([0.3, 0.5]))
    # s² / 2 = 0.01, so the error is 0.1, with 1 degree of freedom.
    assert draws.high == pytest.approx(0.4 + 12.7062 * 0.1, abs=1e-4)
    both = of_one_class(0.4, influence_M, 20, 20.0, np.array([0.3, 0.5]))
    free = 0.0118947**2 / (0.0018947**2 / 19 + 0.01**2)
    assert 1 < free < 1.5
    assert images.high < both.high < draws.high


def test_images_count_by_their_pixels_of_the_class():
    assert effective_number(np.array([5, 5, 5, 0])) == pytest.approx(3)
    assert effective_number(np.array([9, 0, 0])) == pytest.approx(1)
    assert effective_number(np.array([3, 1])) == pytest.approx(1.6)
    influence_M = np.full(20, 0.01)
    equal = of_one_class(0.4, influence_M, 20, 20.0)
    fewer = of_one_class(0.4, influence_M, 20, 5.0)
    # √(20 · 0.01² · 5 / 4) = 0.05, t of 4 degrees of freedom is 2.77645.
    assert fewer.high == pytest.approx(0.4 + 2.77645 * 0.05, abs=1e-5)
    assert equal.high < fewer.high


def test_few_images_or_one_draw_make_no_interval():
    few = of_one_class(0.4, np.ones(50), LEAST_IMAGES - 1, 50.0)
    assert np.isnan([few.low, few.high]).all()
    single = of_one_class(0.4, np.ones(50), 50, 50.0, np.array([0.4]))
    assert np.isnan([single.low, single.high]).all()


def test_no_variance_is_an_interval_of_one_number():
    found = mean_over_classes(np.zeros(10), np.zeros((10, 2)))
    assert found[:4] == (0, 0, 0, 1)


@pytest.mark.parametrize(("n_classes", "most"), [(LEAST_CLASSES, 0.99), (150, 0.97)])
def test_intervals_of_means_hold_the_truth_as_often_as_they_say(n_classes, most):
    # Normal effects have less kurtosis than intervals of few classes allow for.
    rng, held, n_images = np.random.default_rng(0), 0, 60
    for _ in range(400):
        common_M = 0.5 * rng.standard_normal(n_images)
        noise_CM = common_M + 0.3 * rng.standard_normal((n_classes, n_images))
        true_C = rng.normal(0.3, 0.2, n_classes)
        value_C = true_C + noise_CM.mean(1) + 0.05 * rng.standard_normal(n_classes)
        around_CM = (noise_CM - noise_CM.mean(1, keepdims=True)) / n_images
        found = mean_over_classes(value_C, around_CM)
        held += found.low <= 0.3 <= found.high
    assert 0.93 <= held / 400 <= most
