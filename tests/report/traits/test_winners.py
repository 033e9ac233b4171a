"""Planted winners, planted ties, and intervals that hold what they promise."""

import numpy as np
import pandas as pd
import pytest
from ap_rows import ap_rows

from vitproto.report.traits.winner_text import explain_winners, write_winner
from vitproto.report.traits.winners import (
    compare_methods,
    draw_traits,
    rank_methods,
    resample_map,
)

TWO_ATTRIBUTES = ["wing::blue", "wing::red", "eye::buff", "eye::red"]


def _sentences(*runs):
    comparisons = compare_methods(pd.concat(runs))
    return [write_winner(comparison) for comparison in comparisons], comparisons


def test_of_two_attributes_the_interval_spans_their_two_leads():
    # One draw of two attributes: the lead is 0.2 in wings, 0.1 in eyes.
    better, worse = rank_methods(
        {
            "a": np.array([[0.5, 0.5, 0.5, 0.5]]),
            "b": np.array([[0.2, 0.4, 0.3, 0.5]]),
        },
        TWO_ATTRIBUTES,
    )
    assert (better.method, better.below, better.n_pairs) == ("a", 0.0, 1)
    assert worse.below == pytest.approx(0.15)
    assert (worse.low, worse.high) == pytest.approx((0.1, 0.2))
    assert worse.is_worse


def test_of_two_seeds_the_interval_spans_their_two_leads():
    ap_of = {"a": np.array([[0.5] * 4, [0.7] * 4]), "b": np.array([[0.4] * 4])}
    _, worse = rank_methods(ap_of, TWO_ATTRIBUTES)
    assert (worse.low, worse.high) == pytest.approx((0.1, 0.3))


def test_traits_that_differ_much_hide_no_constant_lead():
    ap_T = np.linspace(0.05, 0.9, 40)
    traits = [f"trait{t}" for t in range(40)]
    _, worse = rank_methods({"a": ap_T[None] + 0.01, "b": ap_T[None]}, traits)
    assert (worse.low, worse.high) == pytest.approx((0.01, 0.01))


def test_traits_of_an_attribute_are_drawn_together_and_those_without_alone():
    traits = [*TWO_ATTRIBUTES, "bold", "striped"]
    weights_RT = draw_traits(traits, np.random.default_rng(0))
    assert (weights_RT[:, 0] == weights_RT[:, 1]).all()
    assert (weights_RT[:, 2] == weights_RT[:, 3]).all()
    # Three draws of four groups.
    assert (weights_RT[:, [0, 2, 4, 5]].sum(axis=1) == 3).all()
    assert not (weights_RT[:, 4] == weights_RT[:, 5]).all()


def test_traits_of_a_single_attribute_are_drawn_alone():
    weights_RT = draw_traits(
        ["wing::a", "wing::b", "wing::c"], np.random.default_rng(0)
    )
    assert (weights_RT.sum(axis=1) == 2).all()


def test_resamples_vary_as_much_as_the_mean_of_so_few_seeds_does():
    seeds = np.array([0.2, 0.5, 0.3])
    weights_RT = np.ones((2000, 5), dtype=int)
    ap_ST = np.repeat(seeds[:, None], 5, axis=1)
    map_R = resample_map(ap_ST, weights_RT, np.random.default_rng(0))
    assert map_R.mean() == pytest.approx(1 / 3, abs=0.01)
    assert map_R.var() == pytest.approx(seeds.var(ddof=1) / 3, rel=0.1)


def _simulated_run(rng, lead):
    """Two methods on traits of 30 attributes that share how much better `a` is."""
    group_T = np.sort(rng.integers(0, 30, 150))
    traits = [f"attribute{group}::{t}" for t, group in enumerate(group_T)]
    base_T = rng.uniform(0.1, 0.6, 150)
    lead_T = lead + rng.normal(0, 0.08, 30)[group_T] + rng.normal(0, 0.02, 150)
    fits = [rng.normal(0, 0.01, (3, 1)) + rng.normal(0, 0.02, (3, 150)) for _ in "ab"]
    return {"a": base_T + lead_T + fits[0], "b": base_T + fits[1]}, traits


def _coverage(lead, n_studies, rename=lambda trait: trait):
    rng = np.random.default_rng(1)
    n_inside = 0
    for _ in range(n_studies):
        ap_of, traits = _simulated_run(rng, lead)
        best, other = rank_methods(ap_of, [rename(trait) for trait in traits])
        sign = 1 if best.method == "a" else -1
        n_inside += other.low <= sign * lead <= other.high
    return n_inside / n_studies


def test_95_of_100_intervals_hold_the_true_lead():
    assert 0.91 <= _coverage(0.02, 300) <= 0.98


def test_single_traits_would_make_intervals_that_are_too_short():
    alone = _coverage(0.02, 100, rename=lambda trait: trait.replace("::", "-"))
    assert alone < 0.8


def test_the_order_of_methods_changes_nothing():
    ap_of, traits = _simulated_run(np.random.default_rng(0), 0.05)
    turned = dict(reversed(ap_of.items()))
    assert rank_methods(ap_of, traits) == rank_methods(turned, traits)


TRAITS = [f"attribute{t // 4}::{t}" for t in range(40)]
BASE_T = np.linspace(0.2, 0.6, 40)
NOISE_ST = np.random.default_rng(0).normal(0, 0.005, (3, 40))


def test_a_planted_winner_is_named_with_its_lead():
    (sentence,), _ = _sentences(
        ap_rows(TRAITS, BASE_T + NOISE_ST, method="random"),
        ap_rows(TRAITS, BASE_T + NOISE_ST[::-1] + 0.05, method="kmeans"),
        ap_rows(TRAITS, BASE_T - 0.1 + NOISE_ST, method="gaussian"),
    )
    begin = (
        "With 8 prototypes (tiny, layer 3, chosen on 100 images), kmeans wins: "
        "mAP 0.450, 0.050 more than the next, random (95 % interval 0.04"
    )
    assert sentence.startswith(begin)


def test_of_a_planted_tie_nobody_wins_and_the_rest_is_named():
    (sentence,), comparisons = _sentences(
        ap_rows(TRAITS, BASE_T + NOISE_ST, method="kmeans"),
        ap_rows(TRAITS, BASE_T + NOISE_ST[:, ::-1], method="kmeansdistance"),
        ap_rows(TRAITS, [BASE_T - 0.1], method="pca"),
        ap_rows(TRAITS, [BASE_T - 0.2], method="random"),
    )
    assert "nobody wins: kmeans has the highest mAP, 0.400" in sentence
    assert "cannot be told apart from kmeansdistance (0.400; lead 0.000" in sentence
    assert "its lead over the best of the rest, pca, is 0.100 (0.09" in sentence
    assert "random" not in sentence
    assert "pca and random have a single seed in some comparison" in explain_winners(
        comparisons
    )


def test_an_interval_that_is_printed_from_zero_on_excludes_nothing():
    (sentence,), _ = _sentences(
        ap_rows(TRAITS, [BASE_T], method="a"),
        ap_rows(TRAITS, [BASE_T - 0.0004], method="b"),
    )
    assert "nobody wins" in sentence
    assert "b (0.400; lead 0.000, 95 % interval 0.000 to 0.000)" in sentence


def test_only_methods_with_as_many_prototypes_in_the_same_layer_are_compared():
    sentences, comparisons = _sentences(
        ap_rows(TRAITS, [BASE_T], method="kmeans"),
        ap_rows(TRAITS, [BASE_T], method="random", layer=1),
        ap_rows(TRAITS, [BASE_T], method="random", encoder="other"),
        ap_rows(TRAITS, [BASE_T], method="random", n_prototypes=16),
    )
    assert sentences == []
    assert "none can win" in explain_winners(comparisons)


def test_a_setting_that_only_the_test_images_prefer_does_not_win():
    sae = {"method": "topk", "learning_rate": 0.001}
    (sentence,), _ = _sentences(
        ap_rows(TRAITS, [BASE_T], method="random"),
        ap_rows(TRAITS, [BASE_T + 0.2], train_ap=0.6, sparsity=8.0, **sae),
        ap_rows(TRAITS, [BASE_T - 0.1], train_ap=0.7, sparsity=32.0, **sae),
    )
    assert "random wins: mAP 0.400, 0.100 more than the next, topk" in sentence


def test_the_best_of_methods_that_see_nothing_is_called_no_better_than_chance():
    (sentence,), _ = _sentences(
        ap_rows(TRAITS, [BASE_T], method="a", prevalence=0.5),
        ap_rows(TRAITS, [BASE_T - 0.1], method="b", prevalence=0.5),
    )
    assert "a wins: mAP 0.400, which is no better than chance, 0.100 more" in sentence


def test_with_one_trait_nobody_wins():
    (sentence,), _ = _sentences(
        ap_rows(["bold"], [[0.9]], method="a"), ap_rows(["bold"], [[0.5]], method="b")
    )
    assert "nobody wins" in sentence
    assert "unknown, for there is only one trait" in sentence
