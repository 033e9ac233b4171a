"""Groups of images are divided so that each trait has its share in both splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitproto.data.stratified_split import TableSplit, split_groups


def test_four_images_with_two_traits_are_divided_by_hand():
    # Each trait is shown by two images: one of each must test.
    labels_NT = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    for seed in range(20):
        is_test_N = split_groups(list("abcd"), labels_NT, TableSplit(0.5, seed))
        assert is_test_N[:2].sum() == is_test_N[2:].sum() == 1


def test_rare_traits_reach_both_splits_and_shares_are_kept():
    rng = np.random.default_rng(0)
    labels_NT = rng.random((400, 12)) < np.linspace(0.01, 0.6, 12)
    labels_NT[:4, 0] = True
    groups = [f"bird {i // 2}" for i in range(400)]
    split = TableSplit(0.3, 5)
    is_test_N = split_groups(groups, labels_NT, split)
    assert abs(is_test_N.mean() - 0.3) < 0.03
    n_T, n_test_T = labels_NT.sum(0), labels_NT[is_test_N].sum(0)
    assert (n_test_T > 0).all()
    assert (n_test_T < n_T).all()
    error_T = np.abs(n_test_T - 0.3 * n_T)
    assert (error_T[:5] < 2).all()  # rare traits come first, and are nearly exact
    assert (error_T < 0.12 * n_T + 1).all()
    # A plain draw misses the shares of rare traits by more.
    drawn = np.random.default_rng(5).permutation(200)[:60]
    plain_N = np.isin(np.arange(400) // 2, drawn)
    plain_T = np.abs(labels_NT[plain_N].sum(0) - 0.3 * n_T)
    assert error_T[:5].sum() < plain_T[:5].sum()


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=30),
    st.integers(0, 3),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
@settings(deadline=None)
def test_no_group_is_divided_and_no_split_is_empty(members, n_traits, share, seed):
    groups = [f"g{member}" for member in members]
    labels_NT = np.random.default_rng(seed).random((len(groups), n_traits)) < 0.5
    if len(set(groups)) == 1:
        with pytest.raises(ValueError, match="all images are of the group"):
            split_groups(groups, labels_NT, TableSplit(share, seed))
        return
    is_test_N = split_groups(groups, labels_NT, TableSplit(share, seed))
    for group in set(groups):
        here = [t for t, g in zip(is_test_N, groups, strict=True) if g == group]
        assert len(set(here)) == 1
    assert 0 < is_test_N.sum() < len(groups)
    again = split_groups(groups, labels_NT, TableSplit(share, seed))
    np.testing.assert_array_equal(again, is_test_N)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_that_empties_a_split_is_refused(share):
    with pytest.raises(ValueError, match="test_share"):
        TableSplit(share, 0)
