"""Errors at equal L0, worked out by hand."""

import math

import pandas as pd
import pytest

from vitproto.report.saes.matched import list_targets, read_off, show_matched


def settings(method, *points):
    """Rows of the table of settings, one for each L0 and NMSE."""
    columns = ["encoder", "layer", "n_prototypes", "method", "l0", "nmse"]
    rows = [("tiny", 3, 64, method, l0, nmse) for l0, nmse in points]
    n_trained = 0 if method == "untrained" else 500
    return pd.DataFrame(rows, columns=columns).assign(n_trained_patches=n_trained)


TOPK = settings("topk", (8.0, 0.2), (32.0, 0.1))
RELU = settings("relu", (4.0, 0.4), (16.0, 0.1))
UNTRAINED = settings("untrained", (7.5, 0.8))


def test_an_error_between_two_settings_lies_on_a_line_in_logarithms():
    # Half way between 4 and 16, and between 0.4 and 0.1.
    assert read_off(RELU, 8.0).nmse == pytest.approx(0.2)
    assert math.isnan(read_off(RELU, 8.0).l0)
    # A quarter of the way, and three quarters.
    assert read_off(RELU, 4 * 2**0.5).nmse == pytest.approx(0.4 / 2**0.5)
    assert read_off(RELU, 4.0) == pytest.approx((0.4, 4.0))


def test_beyond_the_last_setting_only_a_near_one_counts():
    assert read_off(RELU, 17.0) == pytest.approx((0.1, 16.0))
    assert math.isnan(read_off(RELU, 18.0).nmse)
    assert read_off(RELU, 3.7) == pytest.approx((0.4, 4.0))
    assert math.isnan(read_off(RELU, 3.6).nmse)


def test_a_setting_that_another_of_its_kind_beats_does_not_count():
    worse = settings("relu", (4.0, 0.4), (8.0, 0.9), (16.0, 0.1))
    assert read_off(worse, 8.0).nmse == pytest.approx(0.2)


def test_kinds_are_compared_where_two_of_them_have_been():
    table = pd.concat([TOPK, RELU, UNTRAINED], ignore_index=True)
    # 4: ReLU alone; 7.5 and 8 are one target; 16: ReLU and TopK; 32: TopK alone.
    assert list_targets(table) == [7.75, 16.0]
    shown = show_matched(table)
    assert list(shown.columns)[4:] == ["relu", "topk", "untrained [control]"]
    middle = math.sqrt(0.2 * 0.1)
    assert shown.rows == [
        # 0.4 · (7.75 / 4)^-1, since the error of ReLU is proportional to 1 / L0.
        [*("tiny", "3", "64", "7.8"), "≈ 0.206", "0.200 (L0 8.0)", "0.800 (L0 7.5)"],
        [*("tiny", "3", "64", "16.0"), "0.100", f"≈ {middle:.3f}", "–"],
    ]


def test_an_unfair_advantage_disappears_at_equal_l0():
    """The same front, sampled at other L0s: neither kind is better."""
    dense, sparse = (
        settings(name, *((l0, l0**-0.5) for l0 in at))
        for name, at in (("dense", (8.0, 32.0)), ("sparse", (4.0, 16.0, 64.0)))
    )
    table = pd.concat([dense, sparse], ignore_index=True)
    assert list_targets(table) == [8.0, 16.0, 32.0]
    for target in (8.0, 16.0, 32.0):
        errors = [read_off(kind, target).nmse for kind in (dense, sparse)]
        assert errors[0] == pytest.approx(errors[1])


def test_nothing_is_read_between_settings_that_are_far_apart():
    far = settings("relu", (1.0, 0.9), (200.0, 0.1))
    assert math.isnan(read_off(far, 8.0).nmse)
    assert read_off(far, 1.05) == pytest.approx((0.9, 1.0))


def test_a_setting_at_the_l0_counts_although_another_has_fewer_latents_and_errs_less():
    worse_with_more = settings("untrained", (8.0, 5.2), (16.0, 11.3))
    assert read_off(worse_with_more, 16.0) == pytest.approx((11.3, 16.0))
    assert read_off(worse_with_more, 8.0) == pytest.approx((5.2, 8.0))
    assert math.isnan(read_off(worse_with_more, 12.0).nmse)
    table = pd.concat([TOPK, RELU, worse_with_more], ignore_index=True)
    assert list_targets(table) == [8.0, 16.0]
    assert [row[-1] for row in show_matched(table).rows] == ["5.20", "11.3"]


def test_settings_without_active_latents_are_left_out():
    silent = settings("silent", (0.0, 1.0))
    table = pd.concat([silent, TOPK], ignore_index=True)
    assert list_targets(table) == []
    assert show_matched(table).rows == []
