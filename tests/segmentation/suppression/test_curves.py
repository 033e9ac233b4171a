"""Curves are read where edits are equally long, or where half of the IoU is lost."""

import numpy as np
import pytest

from vitproto.segmentation.suppression.curves import Curve

M = 3


def curve(length, loss, collateral, seed=0):
    rng = np.random.default_rng(seed)
    loss_OM, collateral_OM = rng.standard_normal((2, len(length), M))
    parts = [np.array(part, float) for part in (length, loss, collateral)]
    return Curve.through(*parts, loss_OM, collateral_OM)


def test_a_curve_is_linear_between_no_edit_and_its_doses_in_any_order():
    one = curve([0.4, 0.1], [0.8, 0.2], [0.1, 0.02])
    for length, loss, collateral in (
        *((0.05, 0.1, 0.01), (0.1, 0.2, 0.02)),
        *((0.25, 0.5, 0.06), (0.4, 0.8, 0.1)),
    ):
        at = one.at_length(length)
        assert (at.loss, at.collateral) == pytest.approx((loss, collateral))
        assert at.specificity == pytest.approx(loss - collateral)
    np.testing.assert_allclose(
        one.at_length(0.25).loss_M, (one.loss_PM[1] + one.loss_PM[2]) / 2
    )
    np.testing.assert_allclose(one.at_length(0.05).loss_M, one.loss_PM[1] / 2)


def test_what_lies_beyond_the_longest_edit_or_is_never_lost_is_not_made_up():
    one = curve([0.1, 0.4], [0.2, 0.45], [0, 0])
    assert one.at_length(0.41) is None
    assert one.at_loss(0.5) is None


def test_half_loss_is_where_the_curve_first_crosses_it():
    one = curve([0.1, 0.2, 0.3, 0.4], [0.2, 0.6, 0.4, 0.9], [0.0, 0.04, 0.3, 0.5])
    at = one.at_loss(0.5)
    assert (at.length, at.loss, at.collateral) == pytest.approx((0.175, 0.5, 0.03))


def test_the_influence_on_collateral_at_half_loss_includes_where_that_is():
    one = curve([0.1, 0.2], [0.3, 0.7], [0.05, 0.25])
    found, step = one.at_loss(0.5), 1e-6
    for m in range(M):
        moved = Curve(
            one.length_P,
            one.loss_P + step * one.loss_PM[:, m],
            one.collateral_P + step * one.collateral_PM[:, m],
            *(one.loss_PM, one.collateral_PM),
        ).at_loss(0.5)
        change = (moved.collateral - found.collateral) / step
        assert found.collateral_M[m] == pytest.approx(change, abs=1e-4)
    assert (found.loss_M == 0).all()


def test_a_class_that_dose_0_takes_by_half_is_read_before_it():
    at = curve([0.02, 0.1], [0.8, 1.0], [0.1, 0.2]).at_loss(0.5)
    assert (at.length, at.collateral) == pytest.approx((0.0125, 0.0625))
    assert at.is_before_first


def test_what_is_read_before_the_shortest_edit_says_so():
    line = curve([0.1, 0.4], [0.5, 0.8], [0, 0])
    assert line.at_length(0.09).is_before_first
    assert not line.at_length(0.1).is_before_first
    assert not line.at_length(0.3).is_before_first
    assert not line.at_loss(0.5).is_before_first
    assert not line.at_loss(0.6).is_before_first
    assert not curve([0.0], [0.0], [0.0]).at_length(0.0).is_before_first
