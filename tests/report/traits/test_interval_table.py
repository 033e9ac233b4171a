"""Traits that a method wins, corrected for all that is printed beside them."""

import numpy as np
import pytest
from scipy.stats import t as student

from vitproto.report.traits.interval_table import AT, Traits, tabulate_pairs
from vitproto.traits.intervals import Resampled

N_GROUPS = 21
PLACE = ("tiny-vit", 3, 32, 100)
LEAD = 2.7
"""The lead of a method by its first trait, in standard errors."""


def _rows(*names, seed=0):
    """Methods that are equal, but for the first one's lead by its first trait."""
    rng = np.random.default_rng(seed)
    noise_RT = rng.standard_normal((400, 3))
    noise_RT = (noise_RT - noise_RT.mean(axis=0)) / noise_RT.std(axis=0, ddof=1)
    rows = {}
    for name in names:
        # Only the first one varies, so every difference from it has a spread of 0.1.
        ap_T = np.array([0.5 + 0.1 * LEAD * (name == names[0]), 0.5, 0.5])
        ap_RT = ap_T + 0.1 * noise_RT * (name == names[0])
        map_RFS = ap_RT.mean(axis=1)[:, None, None]
        rows[name] = Resampled(ap_T[None, None], ap_RT, map_RFS)
    return rows


def _pairs(*names, n_shown=(N_GROUPS, N_GROUPS, 4)):
    traits = Traits(["a::1", "b::1", "c::1"], np.array(n_shown))
    return tabulate_pairs(PLACE, _rows(*names), 0.0, N_GROUPS, traits)


def test_a_trait_is_won_among_few_comparisons_and_not_among_many():
    p = 2 * student.sf(LEAD, N_GROUPS - 1)
    assert p * 2 < 0.05 < p * 6
    (pair,) = _pairs("best", "other")
    assert (pair["n_won"], pair["n_tied"], pair["n_lost"]) == (1, 1, 0)
    # Three pairs of two tested traits each.
    pairs = _pairs("best", "other", "third")
    assert [(pair["n_won"], pair["n_lost"]) for pair in pairs] == [(0, 0)] * 3
    assert [pair["n_tied"] for pair in pairs] == [2] * 3


def test_the_second_method_of_a_pair_wins_what_the_first_one_loses():
    (pair,) = _pairs("z-best", "other")
    assert (pair["method_a"], pair["method_b"]) == ("other", "z-best")
    assert (pair["n_won"], pair["n_tied"], pair["n_lost"]) == (0, 1, 1)
    assert pair["difference"] == pytest.approx(-0.1 * LEAD / 3)
    assert tuple(pair[column] for column in AT) == PLACE


def test_traits_that_few_groups_show_are_not_tested_and_cost_nothing():
    (pair,) = _pairs("best", "other", n_shown=(N_GROUPS, 4, 4))
    assert (pair["n_won"], pair["n_tied"], pair["n_untested"]) == (1, 0, 2)
    (pair,) = _pairs("best", "other", n_shown=(4, 4, 4))
    assert (pair["n_won"], pair["n_tied"], pair["n_untested"]) == (0, 0, 3)


def test_a_single_method_has_no_pairs():
    assert _pairs("best") == []
