"""What is shown is in the ranges, listed, or drawn, and says why."""

import dataclasses

import numpy as np
import pytest

from vitproto.features.choice import Choice, choose, is_in_range
from vitproto.features.top_images import TopImages

CHOICE = Choice(
    log_freq_range=(-3.0, -1.0),
    log_value_range=(-1.0, 3.0),
    n_in_range=100,
    listed=(),
    n_sampled=0,
    seed=0,
)


def known(frequency_K, mean_value_K, alive_K=None):
    """What one pass over 10,000 patches finds."""
    n_above_K = np.round(10_000 * np.array(frequency_K)).astype(np.int64)
    sum_K = n_above_K * np.array(mean_value_K)
    alive_K = n_above_K > 0 if alive_K is None else np.array(alive_K)
    return TopImages(
        score_RK=alive_K.astype(np.float32)[None],
        i_image_RK=np.zeros((1, len(n_above_K)), np.int64),
        low_score_RK=np.zeros((1, len(n_above_K)), np.float32),
        i_low_image_RK=np.zeros((1, len(n_above_K)), np.int64),
        n_patches=10_000,
        n_above_K=n_above_K,
        sum_above_K=sum_K,
    )


def test_a_prototype_must_be_in_both_ranges_whose_ends_belong_to_them():
    frequency_K = np.array([0.001, 0.1, 0.0009, 0.11, 0.01, 0.01, 0.0])
    mean_value_K = np.array([0.1, 1000.0, 1.0, 1.0, 0.09, 1001.0, np.nan])
    found_K = is_in_range(CHOICE, frequency_K, mean_value_K)
    assert found_K.tolist() == [True, True, False, False, False, False, False]


def test_each_prototype_says_every_reason_for_showing_it():
    top = known([0.01, 0.5, 0.01, 0], [1.0, 1.0, 1.0, 0])
    cfg = dataclasses.replace(CHOICE, listed=(3, 2), n_sampled=3)
    chosen = choose(cfg, top)
    assert chosen.reasons == {
        0: ("in_range", "sampled"),
        1: ("sampled",),
        2: ("in_range", "listed", "sampled"),
        3: ("listed",),  # dead: never drawn
    }
    assert chosen.n_in_range == 2


def test_of_many_in_range_a_few_are_drawn_and_more_hold_the_fewer():
    top = known([0.01] * 500, [1.0] * 500)
    shown = [
        set(choose(dataclasses.replace(CHOICE, n_in_range=n), top).reasons)
        for n in (10, 40)
    ]
    assert [len(prototypes) for prototypes in shown] == [10, 40]
    assert shown[0] < shown[1]
    assert choose(dataclasses.replace(CHOICE, n_in_range=10), top).n_in_range == 500
    other = dataclasses.replace(CHOICE, n_in_range=10, seed=1)
    assert set(choose(other, top).reasons) != shown[0]


def test_where_no_patch_scores_above_0_listed_and_drawn_ones_are_shown():
    top = known([0.0] * 8, [0.0] * 8, alive_K=[True] * 8)
    assert choose(CHOICE, top).reasons == {}
    cfg = dataclasses.replace(CHOICE, listed=(5,), n_sampled=2)
    chosen = choose(cfg, top)
    assert chosen.n_in_range == 0
    assert len({*chosen.reasons} - {5}) in (1, 2)


def test_a_listed_prototype_that_does_not_exist_is_refused():
    cfg = dataclasses.replace(CHOICE, listed=(4,))
    with pytest.raises(ValueError, match="prototype 4 is listed, but there are only 4"):
        choose(cfg, known([0.1] * 4, [1.0] * 4))
    with pytest.raises(ValueError, match=r"listed is \(-1,\): write a list of diff"):
        dataclasses.replace(CHOICE, listed=(-1,))


def test_a_range_that_falls_is_refused():
    with pytest.raises(ValueError, match="log_value_range goes from 3 to -1: write"):
        dataclasses.replace(CHOICE, log_value_range=(3.0, -1.0))
