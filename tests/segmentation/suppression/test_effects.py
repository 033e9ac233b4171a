"""Losses are relative, the null of specificity is 0, and influences are derivatives."""

from dataclasses import replace

import numpy as np
import pytest
from counted import counted, edited

from vitproto.segmentation.suppression.effects import (
    can_lose,
    measure_class,
    relative_loss,
)
from vitproto.segmentation.suppression.intervals import mean_over_classes

DOSES = (0.0, -1.0)


def scores(rng, n_images=30, n_classes=6, share=0.6):
    """Pixels of classes, and those that are predicted and correct, in each image."""
    true_MC = rng.integers(1, 200, (n_images, n_classes))
    true_MC *= rng.random(true_MC.shape) < share
    true_MC[0] += 1
    hit_MC = rng.binomial(true_MC, rng.uniform(0.4, 0.9, n_classes))
    wrong_MC = rng.integers(0, 40, true_MC.shape)
    return true_MC, hit_MC + wrong_MC, hit_MC


def take(rng, counts, n_kinds=1):
    """Counts after edits that take some pixels and give others."""
    shape = (n_kinds, len(counts.doses_O), *counts.hit_MC.shape)
    kept = rng.binomial(counts.hit_MC, rng.uniform(0.2, 1, shape))
    wrong_MC = counts.predicted_MC - counts.hit_MC
    return kept + rng.binomial(wrong_MC, 0.7, shape) + rng.integers(0, 9, shape), kept


def slow_effects(counts, label, after, k, o, weight_M):
    """Loss and collateral by loops over classes, with weights of the images."""
    losses = {}
    for c in range(counts.true_MC.shape[1]):
        true, predicted, hit = (
            float(sum(w * n for w, n in zip(weight_M, part[:, c], strict=True)))
            for part in (counts.true_MC, counts.predicted_MC, counts.hit_MC)
        )
        predicted_after, hit_after = (
            float(sum(w * n for w, n in zip(weight_M, part[k, o, :, c], strict=True)))
            for part in after
        )
        before = hit / (true + predicted - hit)
        now = hit_after / (true + predicted_after - hit_after)
        if before >= 0.05 or c == label - 1:
            losses[c] = (before - now) / max(before, now)
    own = losses.pop(label - 1)
    return own, sum(losses.values()) / len(losses)


def test_effects_and_influences_are_those_of_loops_and_of_small_changes_of_weights():
    rng = np.random.default_rng(0)
    counts = counted(*scores(rng), doses=DOSES)
    # A class that is hardly ever found counts for nobody.
    counts.hit_MC[:, 5] = 0
    after = take(rng, counts, n_kinds=3)
    kinds = ("latents", "random_latents", "random_latents")
    of_class = edited(counts, 2, after, kinds, (1.0, 2.0))
    effects = measure_class(counts, of_class, can_lose(counts))
    assert effects.n_others == 4
    assert effects.length_O.tolist() == pytest.approx([0.1, 0.2])
    ones_M, step = np.ones(len(counts.true_MC)), 1e-4
    for edit, ks in (("latents", [0]), ("random_latents", [1, 2])):
        found = effects.edits[edit]
        for o in range(len(DOSES)):
            for n, k in enumerate(ks):
                slow = slow_effects(counts, 2, after, k, o, ones_M)
                assert found.loss_NO[n, o] == pytest.approx(slow[0], abs=1e-12)
                assert found.collateral_NO[n, o] == pytest.approx(slow[1], abs=1e-12)
            for m in (0, 7, 29):
                shift_M = step * (np.arange(len(ones_M)) == m)
                up, down = (
                    np.mean(
                        [slow_effects(counts, 2, after, k, o, each_M) for k in ks],
                        axis=0,
                    )
                    for each_M in (ones_M + shift_M, ones_M - shift_M)
                )
                loss, collateral = (up - down) / (2 * step)
                assert found.loss_OM[o, m] == pytest.approx(loss, abs=1e-6)
                assert found.collateral_OM[o, m] == pytest.approx(collateral, abs=1e-6)
    np.testing.assert_allclose(effects.edits["latents"].loss_OM.sum(1), 0, atol=1e-6)


def test_losses_by_hand():
    # IoU before: 8 / 10, 6 / 10 and 1 / 100; after: 4 / 10, 3 / 10 and 0.
    counts = counted([[10, 10, 99]], [[8, 6, 2]], [[8, 6, 1]])
    after = np.array([[[[4, 3, 0]]]]), np.array([[[[4, 3, 0]]]])
    effects = measure_class(counts, edited(counts, 1, after), can_lose(counts))
    own = effects.edits["latents"]
    assert effects.iou_before == pytest.approx(0.8)
    assert own.iou_O[0] == pytest.approx(0.4)
    assert own.loss_NO[0, 0] == pytest.approx(0.5)
    # The second loses half as well, and the third has nothing to lose.
    assert own.collateral_NO[0, 0] == pytest.approx(0.5)
    assert effects.n_others == 1


def test_a_gain_is_relative_to_what_is_there_afterwards():
    found = relative_loss(np.array([0.5, 0.1, 0.3, 0.0]), np.array([0.0, 0.4, 0.3, 0]))
    assert found[:3].tolist() == pytest.approx([1, -0.75, 0])
    assert np.isnan(found[3])


def specificities(counts, after, seed=0):
    """Specificity of the same or of each class's edit, with influences."""
    values, influences = [], []
    for label in counts.labels:
        one = after(label)
        effects = measure_class(counts, edited(counts, label, one), can_lose(counts))
        own = effects.edits["latents"]
        values.append(float(own.loss_NO[0, 0] - own.collateral_NO[0, 0]))
        influences.append(own.loss_OM[0].astype(float) - own.collateral_OM[0])
    return np.array(values), np.stack(influences)


def test_an_edit_that_wipes_out_everything_is_specific_to_nothing():
    rng = np.random.default_rng(1)
    counts = counted(*scores(rng))
    nothing = np.zeros((1, 1, *counts.hit_MC.shape), int)
    value_C, _ = specificities(counts, lambda label: (nothing, nothing))
    np.testing.assert_array_equal(value_C, 0)


def test_the_same_harm_for_all_classes_has_a_mean_specificity_of_0():
    rng = np.random.default_rng(2)
    counts = counted(*scores(rng, n_classes=12))
    after = take(rng, counts)
    value_C, influence_CM = specificities(counts, lambda label: after)
    assert np.abs(value_C).max() > 0.05
    found = mean_over_classes(value_C, influence_CM)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.low < 0 < found.high


def test_random_harm_that_is_alike_for_all_holds_0_as_often_as_it_should():
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        counts = counted(*scores(rng, n_classes=12))

        def harm(label, rng=rng, counts=counts):
            """An edit of its own, which does not know the class."""
            shape = (1, 1, *counts.hit_MC.shape)
            share = rng.uniform(0, 1, shape[-1]) * rng.uniform(0.5, 1, (shape[2], 1))
            kept = rng.binomial(counts.hit_MC, 1 - share)[None, None]
            return kept + counts.predicted_MC - counts.hit_MC, kept

        found = mean_over_classes(*specificities(counts, harm))
        held += found.low <= 0 <= found.high
    assert 88 <= held <= 100


def test_the_same_edit_for_each_class_has_no_specificity_though_some_are_not_judged():
    """Classes that have no edits of their own lose little, and do not count as others.

    If they did, each judged class would seem to lose more than the others.
    """
    rng = np.random.default_rng(5)
    counts = counted(*scores(rng, n_classes=6))
    share_C = np.array([0.6, 0.8, 0.7, 0.5, 0.05, 0.0])
    kept = rng.binomial(counts.hit_MC, 1 - share_C)[None, None]
    after = kept + counts.predicted_MC - counts.hit_MC, kept
    judged_C = np.array([True] * 4 + [False] * 2)
    specificity_C, against_all_C = [], []
    for label in (1, 2, 3, 4):
        of_class = edited(counts, label, after)
        for compared_C, found in (
            (judged_C, specificity_C),
            (can_lose(counts), against_all_C),
        ):
            own = measure_class(counts, of_class, compared_C).edits["latents"]
            found.append(own.loss_NO[0, 0] - own.collateral_NO[0, 0])
    assert np.mean(specificity_C) == pytest.approx(0, abs=1e-12)
    assert np.mean(against_all_C) > 0.1


def is_judged(counts, edits):
    return measure_class(counts, edits, can_lose(counts)).is_judged


def test_a_class_is_not_judged_if_it_or_all_others_have_nothing_to_lose():
    rng = np.random.default_rng(3)
    counts = counted(*scores(rng, n_classes=2))
    after = take(rng, counts)
    assert is_judged(counts, edited(counts, 1, after))
    counts.hit_MC[:, 1] = 0
    assert not is_judged(counts, edited(counts, 1, after))
    assert not is_judged(counts, edited(counts, 2, after))
    dead = replace(edited(counts, 1, after), length_OM=np.zeros((1, 30)))
    assert not is_judged(counts, dead)
