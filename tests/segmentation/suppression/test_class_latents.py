"""The latents that detect a class are found: AP and F1 are right, to the last bit."""

import dataclasses
import math

import numba
import numpy as np
import pytest
import torch
from autoencoders import identity_autoencoder, random_autoencoder
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from recorded import LAYER, with_threads, write_shards
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
)

from vitproto.activations.stream import Activations
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.suppression.class_latents import (
    COLUMNS,
    RankingSettings,
    parse_picked,
    rank,
)
from vitproto.segmentation.suppression.detection import detect
from vitproto.segmentation.suppression.sparse_latents import (
    SparseLatents,
    draw_pure_patches,
    gather_latents,
)
from vitproto.traits.average_precision import average_precision

CPU = torch.device("cpu")
CFG = RankingSettings(
    min_purity=0.9, n_patches=10_000, n_ranked=3, n_chosen=1, chosen_by="ap", seed=0
)
# Few values, so that ties are everywhere; the smallest float32 and infinity are odd.
VALUES = [np.float32(v) for v in (0, 0, 0, 1e-45, 1, 1.5, 2, 3e38, np.inf)]


def columns(latents_NS):
    """The non-zero values of each latent and whose they are, as `detect` takes them."""
    n_values_S = (latents_NS > 0).sum(0)
    start_T = np.concatenate([[0], np.cumsum(n_values_S)])
    i_latent_V, i_patch_V = np.nonzero(latents_NS.T)
    return start_T, i_patch_V, latents_NS[i_patch_V, i_latent_V]


def detect_dense(latents_NS, class_N, n_classes):
    start_T, i_patch_V, value_V = columns(latents_NS)
    n_patches_C = np.bincount(class_N, minlength=n_classes)
    return detect(start_T, class_N[i_patch_V], value_V, n_patches_C)


def slow_f1(score_N, is_class_N):
    """The best F1 over all thresholds, and the highest threshold that reaches it."""
    best, threshold = -1.0, math.nan
    for t in np.unique([*score_N, 0] if (score_N == 0).any() else score_N)[::-1]:
        predicted_N = score_N >= t
        hits = (predicted_N & is_class_N).sum()
        f1 = 2.0 * hits / (predicted_N.sum() + is_class_N.sum())
        if f1 > best:
            best, threshold = f1, t
    return best, threshold


@st.composite
def latents_and_classes(draw):
    n, s, c = draw(st.tuples(*[st.integers(1, m) for m in (40, 4, 5)]))
    elements = draw(
        st.sampled_from([st.sampled_from(VALUES), st.floats(0, 9, width=32)])
    )
    latents_NS = draw(hnp.arrays(np.float32, (n, s), elements=elements))
    if draw(st.booleans()):
        latents_NS[:, 0] = 0  # dead
    # Fewer classes than there are numbers for leaves some without a patch.
    class_N = draw(hnp.arrays(np.uint16, n, elements=st.integers(0, c - 1)))
    return latents_NS, class_N, c


def random_case(n=3000, s=40, c=12, seed=0):
    rng = np.random.default_rng(seed)
    latents_NS = np.maximum(rng.standard_normal((n, s), dtype=np.float32) - 1.5, 0)
    class_N = rng.integers(0, c, n).astype(np.uint16)
    latents_NS[:, :c] += (class_N[:, None] == np.arange(c)) * rng.random((n, c)) / 4
    return latents_NS, class_N, c


def test_five_patches_by_hand():
    # Ranking: 3 | 2 2 | 0 0, of the classes 0 | 0 1 | 0 1.
    latents_NS = np.float32([[3], [2], [2], [0], [0]])
    found = detect_dense(latents_NS, np.uint16([0, 0, 1, 0, 1]), 3)
    # Class 0: precisions 1, 2/3 and 3/5. Class 1: 1/3 and 2/5. Class 2 has no patch.
    expected = [(1 + 2 / 3 + 3 / 5) / 3, (1 / 3 + 2 / 5) / 2, np.nan]
    np.testing.assert_allclose(found.ap_SC[0], expected)
    # Class 0: F1 is 2/4 from 3 on, 4/6 from 2 on, 6/8 for all. Class 1: 0, 2/5, 4/7.
    np.testing.assert_allclose(found.f1_SC[0], [6 / 8, 4 / 7, np.nan])
    np.testing.assert_array_equal(found.threshold_SC[0], [0, 0, np.nan])
    np.testing.assert_array_equal(found.n_active_SC[0], [2, 1, 0])


def test_the_threshold_is_where_f1_is_best():
    latents_NS = np.float32([[4], [3], [2], [1], [0], [0], [0], [0]])
    found = detect_dense(latents_NS, np.uint16([0, 0, 1, 1, 1, 1, 1, 1]), 2)
    assert (found.f1_SC[0, 0], found.threshold_SC[0, 0]) == (1, 3)
    # Class 1 is best predicted everywhere: 2 · 6 / (8 + 6).
    assert (found.f1_SC[0, 1], found.threshold_SC[0, 1]) == (12 / 14, 0)


@settings(max_examples=300, deadline=None)
@given(latents_and_classes())
def test_ap_is_that_of_the_dense_latents(case):
    latents_NS, class_N, n_classes = case
    is_class_NC = class_N[:, None] == np.arange(n_classes)
    found = detect_dense(*case)
    expected_SC = average_precision(latents_NS, is_class_NC)
    np.testing.assert_array_equal(found.ap_SC, expected_SC)
    active_SC = (latents_NS > 0).T.astype(int) @ is_class_NC
    np.testing.assert_array_equal(found.n_active_SC, active_SC)


@settings(max_examples=300, deadline=None)
@given(latents_and_classes())
def test_f1_is_the_best_of_all_thresholds(case):
    latents_NS, class_N, n_classes = case
    found = detect_dense(*case)
    for s in range(latents_NS.shape[1]):
        for c in np.unique(class_N):
            expected = slow_f1(latents_NS[:, s], class_N == c)
            assert (found.f1_SC[s, c], found.threshold_SC[s, c]) == expected
    absent = np.setdiff1d(np.arange(n_classes), class_N)
    assert np.isnan(found.f1_SC[:, absent]).all()


def test_both_agree_with_scikit_learn():
    latents_NS, class_N, n_classes = random_case()
    found = detect_dense(latents_NS, class_N, n_classes)
    for s in range(0, 40, 3):
        for c in range(n_classes):
            shown_N, score_N = class_N == c, latents_NS[:, s]
            ap = average_precision_score(shown_N, score_N)
            assert found.ap_SC[s, c] == pytest.approx(ap, abs=1e-12)
            precision, recall, _ = precision_recall_curve(shown_N, score_N)
            f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
            assert found.f1_SC[s, c] == pytest.approx(f1.max(), abs=1e-12)
            predicted_N = score_N >= found.threshold_SC[s, c]
            assert found.f1_SC[s, c] == pytest.approx(f1_score(shown_N, predicted_N))


def test_threads_and_the_order_of_patches_change_no_bit():
    latents_NS, class_N, n_classes = random_case()
    order = np.random.default_rng(1).permutation(len(class_N))
    before = numba.get_num_threads()
    kept = []
    for n_threads in (1, min(2, before)):
        numba.set_num_threads(n_threads)
        for rows in (slice(None), order):
            found = detect_dense(latents_NS[rows], class_N[rows], n_classes)
            kept.append([array.tobytes() for array in found])
    numba.set_num_threads(before)
    assert all(found == kept[0] for found in kept)


def make_labels(labels_NP, n_classes, purity_NP=None, n_test=0):
    n_images, n_patches = labels_NP.shape
    if purity_NP is None:
        purity_NP = np.ones(labels_NP.shape, np.float32)
    return PatchLabels(
        image_ids=[f"image{i}" for i in range(n_images)],
        is_train_N=np.arange(n_images) < n_images - n_test,
        classes=[f"thing {c}" for c in range(1, n_classes + 1)],
        labels_NP=labels_NP.astype(np.uint16),
        purity_NP=purity_NP.astype(np.float32),
        masks_MHW=np.zeros((n_test, 2, n_patches // 2), np.uint16),
    )


def recorded(folder, x_NPD, n_shards=1):
    return Activations.open(write_shards(folder, x_NPD, n_shards), LAYER)


def gather(acts, autoencoder, labels, **changes):
    how = {"min_purity": 0.9, "n_patches": 10_000, "seed": 0, **changes}
    return gather_latents(acts, autoencoder, labels, **how, device=CPU)


def small_case():
    """Random activations, latents and labels; the last images are for tests."""
    rng = np.random.default_rng(3)
    x_NPD = rng.standard_normal((23, 10, 16)).astype(np.float32)
    purity_NP = rng.choice(np.float32([0.5, 0.9, 1]), (23, 10))
    labels = make_labels(rng.integers(0, 5, (23, 10)), 5, purity_NP, n_test=6)
    return x_NPD, random_autoencoder(48, 16), labels


def test_the_gathered_latents_are_those_of_pure_training_patches(tmp_path):
    x_NPD, autoencoder, labels = small_case()
    found = gather(recorded(tmp_path, x_NPD), autoencoder, labels)
    latents_NPS = autoencoder(torch.from_numpy(x_NPD).flatten(0, 1)).numpy()
    latents_NPS = latents_NPS.reshape(23, 10, 48)[:17]
    np.testing.assert_array_equal(found.n_active_S, (latents_NPS > 0).sum((0, 1)))
    np.testing.assert_allclose(found.largest_S, latents_NPS.max((0, 1)), rtol=1e-5)
    # 0.9 is kept as float32, which is a little less.
    pure_NP = (labels.purity_NP[:17] > 0.8) & (labels.labels_NP[:17] > 0)
    class_M = labels.labels_NP[:17][pure_NP] - np.uint16(1)
    np.testing.assert_array_equal(found.n_drawn_C, np.bincount(class_M, minlength=5))
    np.testing.assert_array_equal(found.n_drawn_C, found.n_pure_C)
    start_T, i_patch_V, value_V = columns(latents_NPS[pure_NP])
    np.testing.assert_array_equal(found.start_T, start_T)
    np.testing.assert_array_equal(found.class_V, class_M[i_patch_V])
    np.testing.assert_allclose(found.value_V, value_V, rtol=1e-4, atol=1e-6)


def test_shards_and_cores_change_no_bit_of_the_latents(tmp_path):
    x_NPD, autoencoder, labels = small_case()
    kept = []
    for n_shards, n_threads in ((1, 1), (4, 2), (2, 3)):
        acts = recorded(tmp_path, x_NPD, n_shards)
        found = with_threads(
            n_threads, lambda acts=acts: gather(acts, autoencoder, labels, n_patches=50)
        )
        kept.append([array.tobytes() for array in vars(found).values()])
    assert kept[0] == kept[1] == kept[2]


def test_patches_are_drawn_uniformly_from_pure_ones_and_by_seed():
    purity_NP = np.tile(np.float32([1, 0.9, 0.89]), (50, 10))
    labels_NP = np.tile(np.repeat([1, 2, 0], 10), (50, 1))
    labels = make_labels(labels_NP, 2, purity_NP, n_test=10)
    counts_NP = np.zeros(labels_NP.shape)
    for seed in range(400):
        i_image_M, i_patch_M = draw_pure_patches(labels, 0.9, 60, seed)
        drawn = set(zip(i_image_M.tolist(), i_patch_M.tolist(), strict=True))
        assert len(drawn) == 60
        counts_NP[i_image_M, i_patch_M] += 1
    can_NP = (purity_NP > 0.895) & (labels_NP > 0) & labels.is_train_N[:, None]
    assert not counts_NP[~can_NP].any()
    # Binomial: 400 draws of 60 of the patches; six standard deviations allowed.
    p = 60 / can_NP.sum()
    spread = 6 * math.sqrt(400 * p * (1 - p))
    assert np.abs(counts_NP[can_NP] - 400 * p).max() < spread
    again = draw_pure_patches(labels, 0.9, 60, 399)
    np.testing.assert_array_equal(again, (i_image_M, i_patch_M))
    fewer = draw_pure_patches(labels, 0.9, 20, 399)
    assert drawn > set(zip(*(array.tolist() for array in fewer), strict=True))


def test_no_pure_patch_and_latents_that_overflow_are_refused(tmp_path):
    x_NPD, autoencoder, labels = small_case()
    half = dataclasses.replace(labels, purity_NP=labels.purity_NP / 2)
    with pytest.raises(ValueError, match="the 17 training images has a purity of 0.95"):
        draw_pure_patches(half, 0.95, 10, 0)
    infinite = dataclasses.replace(autoencoder, b_enc_S=torch.full((48,), np.inf))
    with pytest.raises(ValueError, match="latent 0 is inf on a training patch"):
        gather(recorded(tmp_path, x_NPD), infinite, labels)


def planted(folder):
    """Classes 1 to 3 are one direction each; class 4 is only in test images.

    The identity autoencoder has latent d for direction d, and d + 6 for its opposite.
    """
    rng = np.random.default_rng(0)
    labels_NP = rng.integers(0, 4, (30, 8))
    labels_NP[25:] = 4
    x_NPD = rng.uniform(0, 0.2, (30, 8, 6)).astype(np.float32)
    for label, direction in ((1, 4), (2, 0), (3, 2)):
        x_NPD[labels_NP == label, direction] += 1
    return recorded(folder, x_NPD), make_labels(labels_NP, 4, n_test=5)


def planted_table(folder, picked=None, **changes):
    acts, labels = planted(folder)
    found = gather(acts, identity_autoencoder(6), labels)
    both_SD = identity_autoencoder(6).W_dec_SD.numpy()
    directions_CD = np.zeros((4, 6), np.float32)
    directions_CD[[0, 1], [4, 0]] = [3, -2]
    directions_CD[2] = [1, 0, 1, 0, 0, 0]
    directions_CD[3] = np.nan
    cfg = dataclasses.replace(CFG, **changes)
    return rank(found, labels.classes, both_SD, directions_CD, picked or {}, cfg)


def test_planted_directions_are_found_and_absent_classes_said(tmp_path):
    table = planted_table(tmp_path)
    assert list(table) == list(COLUMNS)
    best = table[table["is_chosen"]].set_index("label")
    assert best["latent"].to_dict() == {1: 4, 2: 0, 3: 2}
    assert (best[["ap", "f1"]] == 1).all(axis=None)
    assert (best["threshold"] >= 1).all()
    np.testing.assert_allclose(best["alignment"], [1, -1, math.sqrt(1 / 2)])
    assert (best["criterion"] == "ap").all()
    first = table[(table["rank"] == 0) & (table["criterion"] == "f1")]
    assert first["latent"].tolist() == [4, 0, 2]
    assert table["prevalence"].groupby(table["label"]).first().sum() == 1
    absent = table[table["label"] == 4]
    assert absent["note"].tolist() == ["no training patch of purity ≥ 0.9"]
    assert absent["latent"].isna().all()
    assert len(table) == 3 * 2 * 3 + 1


def test_latents_can_be_picked_whatever_their_rank(tmp_path):
    table = planted_table(tmp_path, {1: [8, 4], 4: [1]}, chosen_by="f1", n_chosen=2)
    chosen = table[table["is_chosen"]]
    assert chosen["label"].tolist() == [1, 1, 2, 2, 3, 3, 4]
    assert set(chosen.loc[chosen["label"] == 4, "latent"]) == {1}
    picked = chosen[chosen["label"] == 1].set_index("latent")
    assert (picked["criterion"] == "ap").all()
    assert set(picked.index) == {4, 8}
    # Latent 8 is the negative part of a direction that is never negative.
    assert picked["rank"].to_dict()[4] == 0
    assert picked["rank"].to_dict()[8] >= 3
    assert picked.loc[8, "ap"] == pytest.approx(picked.loc[8, "prevalence"])
    assert picked.loc[8, "note"] == "this latent is never active"
    assert (chosen.loc[chosen["label"] == 2, "criterion"] == "f1").all()
    absent = chosen[chosen["label"] == 4].iloc[0]
    assert absent["note"] == "no training patch of purity ≥ 0.9"
    assert np.isnan(absent["ap"])


def latents_of(latents_NS, class_N, n_classes, n_active_S=None):
    start_T, i_patch_V, value_V = columns(latents_NS)
    n_patches_C = np.bincount(class_N, minlength=n_classes)
    if n_active_S is None:
        n_active_S = (latents_NS > 0).sum(0)
    return SparseLatents(
        start_T,
        class_N[i_patch_V],
        value_V,
        n_patches_C,
        n_patches_C,
        np.asarray(n_active_S),
        latents_NS.max(0),
    )


def rank_dense(latents, n_classes, **changes):
    names = [f"thing {c}" for c in range(1, n_classes + 1)]
    n_latents = len(latents.n_active_S)
    cfg = dataclasses.replace(CFG, **changes)
    return rank(
        latents,
        names,
        np.ones((n_latents, 2), np.float32),
        np.ones((n_classes, 2), np.float32),
        {},
        cfg,
    )


def test_of_equal_latents_the_lower_comes_first_and_dead_ones_come_last():
    latents_NS = np.zeros((6, 5), np.float32)
    latents_NS[[0, 1], 3] = latents_NS[[0, 1], 1] = 2  # 1 and 3 find class 0
    latents_NS[5, 4] = 1  # 4 is active on the other class only
    latents = latents_of(latents_NS, np.uint16([0, 0, 1, 1, 1, 1]), 2)
    table = rank_dense(latents, 2, n_ranked=5, n_chosen=3)
    by_ap = table[table["criterion"] == "ap"]
    assert by_ap.loc[by_ap["label"] == 1, "latent"].tolist() == [1, 3, 4, 0, 2]
    # Only two are ever active on patches of the class, so no third is suppressed.
    assert by_ap.loc[by_ap["label"] == 1, "is_chosen"].tolist() == [True] * 2 + 3 * [
        False
    ]
    # Latents that avoid a class rank below chance, but are not dead.
    of_other = by_ap[by_ap["label"] == 2]
    assert of_other["latent"].tolist()[0] == 4
    assert set(of_other["latent"].tolist()[3:]) == {0, 2}


def test_a_class_on_which_no_latent_is_active_says_so():
    latents_NS = np.float32([[1, 0], [0, 2], [0, 0], [0, 0]])
    latents = latents_of(latents_NS, np.uint16([0, 0, 1, 1]), 3)
    table = rank_dense(latents, 3)
    notes = table.groupby("label")["note"].first().to_dict()
    assert notes[1] == ""
    assert notes[2] == "its latents are never active"
    assert not table.loc[table["label"] == 2, "is_chosen"].any()


def test_a_class_of_which_no_patch_was_drawn_says_so():
    latents = latents_of(np.ones((4, 2), np.float32), np.uint16([0, 0, 1, 1]), 3)
    latents = dataclasses.replace(latents, n_pure_C=latents.n_drawn_C + 7)
    table = rank_dense(latents, 3)
    note = table.loc[table["label"] == 3, "note"].tolist()
    assert note == ["none of its 7 pure training patches was drawn"]


def test_picked_latents_are_read():
    assert parse_picked(["29:8541,5818", "3:0"], 150, 9000) == {
        29: [8541, 5818],
        3: [0],
    }
    assert parse_picked([], 150, 9000) == {}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["29"], "cannot read the latents of a class from '29': write the label"),
        (["29:a"], "cannot read the latents"),
        (["0:1"], "label 0, but there are 4 classes: write a label from 1 to 4"),
        (["5:1"], "label 5, but there are 4"),
        (["2:12"], "latent 12 is picked for label 2, but the autoencoder has 12"),
        (["2:-1"], "latent -1 is picked"),
        (["2:1,1"], "a latent is picked for label 2 twice in '2:1,1'"),
        (["2:1", "2:3"], "for label 2 twice: write all of them in one"),
    ],
)
def test_a_pick_that_does_not_exist_is_refused(texts, message):
    with pytest.raises(ValueError, match=".") as caught:
        parse_picked(texts, 4, 12)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_chosen": 4}, "4 latents of a class are to be suppressed, but only 3"),
        (
            {"min_purity": 90.0},
            "min_purity is 90.0: write a number above 0 and up",
        ),
        ({"n_patches": 0}, "n_patches is 0: write a whole number of at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CFG, **change)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_gathers_what_the_cpu_gathers(tmp_path):
    x_NPD, autoencoder, labels = small_case()
    acts = recorded(tmp_path, x_NPD)
    how = {"min_purity": 0.9, "n_patches": 100, "seed": 0}
    on_cpu, on_gpu = (
        gather_latents(acts, autoencoder, labels, **how, device=torch.device(name))
        for name in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_gpu.largest_S, on_cpu.largest_S, atol=1e-3)
    np.testing.assert_allclose(on_gpu.n_active_S, on_cpu.n_active_S, atol=2)
    np.testing.assert_array_equal(on_gpu.n_drawn_C, on_cpu.n_drawn_C)
