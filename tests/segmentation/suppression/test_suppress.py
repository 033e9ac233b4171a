"""Suppressing the latent of a planted class removes that class, and says all it did."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from recorded import LAYER, with_threads, write_shards
from segmentation_planted import (
    BIRD,
    BOAT,
    CAR,
    CFG,
    DEAD,
    FOG,
    GHOST,
    GROUND,
    TREE,
    UNKNOWN,
    planted_scene,
)

from vitproto.activations.stream import Activations
from vitproto.segmentation.suppression.edited_logits import AtProbeLayer
from vitproto.segmentation.suppression.edits import EDITS
from vitproto.segmentation.suppression.effects import (
    change_rows,
    class_rows,
    interval,
    resample,
)
from vitproto.segmentation.suppression.suppress import suppress

CPU = torch.device("cpu")


def suppressed(folder, scene, cfg=CFG, n_shards=1, device=CPU):
    """All that `suppress` yields, by label."""
    acts = Activations.open(write_shards(folder, scene.x_NPD, n_shards), LAYER)
    found = suppress(
        *(acts, scene.labels, scene.autoencoder, scene.activity, scene.chosen),
        *(scene.directions_CD, AtProbeLayer(scene.probe.to(device)), device, cfg),
    )
    return {one.label: (before, one, counts) for before, one, counts in found}


def tables(found, cfg=CFG):
    rows, changes = [], []
    for before, one, counts in found.values():
        weights_RM = resample(len(before.true_MC), cfg)
        rows += class_rows(one, before, counts, weights_RM, cfg.doses)
        if counts is not None:
            names = [f"class {i}" for i in range(99)]
            changes += change_rows(one, counts, cfg.doses, names)
    return pd.DataFrame(rows), pd.DataFrame(changes)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    scene = planted_scene()
    return scene, suppressed(tmp_path_factory.mktemp("acts"), scene)


@pytest.fixture(scope="module")
def rows(planted):
    return tables(planted[1])[0]


def at(rows, label, edit, dose=-2.0):
    (index,) = rows.index[
        (rows["label"] == label) & (rows["edit"] == edit) & (rows["dose"] == dose)
    ]
    return rows.loc[index]


@pytest.mark.parametrize("dose", [0.0, -2.0])
@pytest.mark.parametrize("label", [TREE, CAR, BIRD])
def test_suppressing_the_latent_of_a_class_removes_it_and_leaves_the_others(
    rows, label, dose
):
    own = at(rows, label, "latents", dose)
    assert own["iou_before"] > 0.5
    assert own["iou_after"] < 0.1 * own["iou_before"]
    assert own["collateral"] < 0.02
    assert own["changed_class"] > 0.95
    assert own["changed_others"] < 0.02
    assert own["specificity_low"] > 0.4


@pytest.mark.parametrize("dose", [0.0, -2.0])
@pytest.mark.parametrize("label", [TREE, CAR, BIRD])
def test_controls_of_the_same_length_leave_the_class_but_its_own_direction_does_not(
    rows, label, dose
):
    own = at(rows, label, "latents", dose)
    for control in ("random_latents", "random_directions", "other_class"):
        row = at(rows, label, control, dose)
        assert row["edit_norm"] == own["edit_norm"]
        assert abs(row["loss"]) < 0.2
        assert row["margin_low"] > 0.2
        assert row["margin"] == pytest.approx(own["specificity"] - row["specificity"])
    ceiling = at(rows, label, "class_direction", dose)
    assert ceiling["loss"] >= own["loss"] - 1e-9


def test_patches_of_a_removed_class_change_to_the_ground(planted):
    changes = tables(planted[1])[1]
    of_trees = changes[(changes["label"] == TREE) & (changes["dose"] == -2)]
    assert of_trees["to_label"].tolist() == [GROUND]
    assert of_trees["share"].tolist() == [1]
    counts = planted[1][TREE][2]
    assert of_trees["n_patches"].item() == counts.n_changed_KO[0, 1]
    assert counts.n_patches == (planted[0].labels.labels_NP[16:] == TREE).sum()


def slow_counts(scene, x_MPD):
    """Predictions of edited activations, all in float64 and at full width."""
    logits = x_MPD @ scene.probe.weight_CD.double().T + scene.probe.bias_C.double()
    grid = scene.labels.grid
    up = torch.nn.functional.interpolate(
        logits.unflatten(1, grid).permute(0, 3, 1, 2),
        scene.labels.masks_MHW.shape[1:],
        mode="bilinear",
        align_corners=False,
    )
    best_MHW = up.argmax(1).numpy() + 1
    mask_MHW, labels = scene.labels.masks_MHW, range(1, scene.labels.n_classes + 1)
    predicted = [((best_MHW == c) & (mask_MHW > 0)).sum((1, 2)) for c in labels]
    hit = [((best_MHW == c) & (mask_MHW == c)).sum((1, 2)) for c in labels]
    best_MP = logits.argmax(2).numpy() + 1
    return np.stack(predicted, 1), np.stack(hit, 1), best_MP


def in_double(autoencoder):
    """The same autoencoder in float64."""
    names = ("W_enc_SD", "b_enc_S", "W_dec_SD", "b_dec_D", "mean_D")
    return replace(
        autoencoder, **{name: getattr(autoencoder, name).double() for name in names}
    )


@pytest.mark.parametrize("label", [TREE, FOG])
def test_counts_are_those_of_activations_decoded_in_full(planted, label):
    scene, found = planted
    before, one, counts = found[label]
    sae = in_double(scene.autoencoder)
    x_MPD = torch.from_numpy(scene.x_NPD[scene.labels.i_test_M]).double()
    x_XD = x_MPD.flatten(0, 1)
    f_XS = x_XD @ sae.directions_SD.T + sae.offset_S.double()
    f_XS = f_XS.clamp(min=0)
    predicted_MC, hit_MC, best_MP = slow_counts(scene, x_MPD)
    np.testing.assert_array_equal(before.predicted_MC, predicted_MC)
    np.testing.assert_array_equal(before.hit_MC, hit_MC)
    lengths = x_XD.norm(dim=1)
    assert before.mean_length == pytest.approx(lengths.mean().item(), rel=1e-6)
    labels_MP = scene.labels.labels_NP[scene.labels.i_test_M]
    for o, dose in enumerate(CFG.doses):
        edited_XS = f_XS.clone()
        for latent in one.latents:
            edited_XS[:, latent] = dose * scene.activity.largest_S[latent]
        after_XD = sae.decode(edited_XS) + (x_XD - sae.decode(f_XS))
        edit_X = (after_XD - x_XD).norm(dim=1)
        assert counts.mean_length_O[o] == pytest.approx(edit_X.mean().item(), rel=1e-6)
        for k, kind in enumerate(counts.edits.kinds_K):
            if kind != "latents":
                # The same draw, at full width and in float64.
                w_JD = counts.edits.directions_KJD[k].double()
                change_XJ = edited_XS[:, one.latents] - f_XS[:, one.latents]
                sum_XD = change_XJ @ w_JD
                if kind == "class_direction":
                    u_D = scene.directions_CD[label - 1].double()
                    sum_XD = -u_D.expand_as(sum_XD)
                size_X1 = sum_XD.norm(dim=1, keepdim=True)
                e_XD = edit_X[:, None] * sum_XD / size_X1.clamp(min=1e-300)
                after_XD = x_XD + torch.where(edit_X[:, None] > 0, e_XD, 0.0)
            after_MPD = after_XD.unflatten(0, x_MPD.shape[:2])
            predicted_MC, hit_MC, after_MP = slow_counts(scene, after_MPD)
            np.testing.assert_array_equal(counts.predicted_KOMC[k, o], predicted_MC)
            np.testing.assert_array_equal(counts.hit_KOMC[k, o], hit_MC)
            changes_MP = after_MP != best_MP
            is_class_MP = labels_MP == label
            is_other_MP = (labels_MP != 0) & ~is_class_MP
            assert counts.n_changed_KO[k, o] == changes_MP[is_class_MP].sum()
            assert counts.n_others_changed_KO[k, o] == changes_MP[is_other_MP].sum()
            if kind == "latents":
                to = after_MP[changes_MP & is_class_MP] - 1
                np.testing.assert_array_equal(
                    counts.n_to_OC[o], np.bincount(to, minlength=8)
                )


def test_intervals_are_those_of_a_loop_over_resamples(planted, rows):
    before, _, counts = planted[1][CAR]
    c, k, o = CAR - 1, counts.edits.draws_of("random_latents"), 1
    n_images = len(before.true_MC)
    rng = np.random.default_rng([CFG.seed, n_images])

    def scores(predicted_MC, hit_MC, drawn_M):
        true_C, predicted_C, hit_C = (
            sum(part[i].astype(int) for i in drawn_M)
            for part in (before.true_MC, predicted_MC, hit_MC)
        )
        iou_C = [
            h / (t + p - h)
            for t, p, h in zip(true_C, predicted_C, hit_C, strict=True)
            if t
        ]
        shown = np.flatnonzero(true_C).tolist()
        own = iou_C.pop(shown.index(c))
        return own, np.mean(iou_C)

    losses, margins = [], []
    for _ in range(CFG.n_resamples):
        drawn_M = rng.integers(n_images, size=n_images)
        own, others = scores(before.predicted_MC, before.hit_MC, drawn_M)

        def specificity(kind, drawn_M=drawn_M, own=own, others=others):
            after = counts.predicted_KOMC[kind, o], counts.hit_KOMC[kind, o]
            own_after, others_after = scores(*after, drawn_M)
            return own - own_after, (own - own_after) - (others - others_after)

        draws = [specificity(kind) for kind in k]
        losses.append(np.mean([loss for loss, _ in draws]))
        margins.append(specificity(0)[1] - np.mean([spec for _, spec in draws]))
    row = at(rows, CAR, "random_latents")
    for name, values in (("loss", losses), ("margin", margins)):
        low, high = np.percentile(values, [2.5, 97.5])
        assert row[f"{name}_low"] == pytest.approx(low, abs=1e-12)
        assert row[f"{name}_high"] == pytest.approx(high, abs=1e-12)
        assert low <= row[name] <= high
    assert row["n_draws"] == 3


def test_what_no_draw_changes_is_a_loss_of_exactly_nothing(planted):
    before, one, counts = planted[1][CAR]
    as_before = [
        np.broadcast_to(part.astype(np.int32), counts.hit_KOMC.shape)
        for part in (before.predicted_MC, before.hit_MC)
    ]
    unmoved = replace(counts, predicted_KOMC=as_before[0], hit_KOMC=as_before[1])
    weights_RM = resample(len(before.true_MC), CFG)
    rows = pd.DataFrame(class_rows(one, before, unmoved, weights_RM, CFG.doses))
    for name in ("loss", "collateral", "specificity", "margin"):
        for end in ("", "_low", "_high"):
            assert set(rows[name + end].dropna()) == {0}


def test_an_interval_leaves_out_resamples_that_have_no_value():
    values_R = np.array([np.nan, *np.linspace(0, 1, 41), np.nan])
    assert interval(values_R) == pytest.approx((0.025, 0.975))
    assert np.isnan(interval(np.full(3, np.nan))).all()


def test_what_cannot_be_measured_is_empty_and_a_note_says_why(rows):
    for label, note in (
        (GHOST, "not in the validation images"),
        (UNKNOWN, "no training patch of purity ≥ 0.9"),
    ):
        of_class = rows[rows["label"] == label]
        assert of_class["edit"].tolist() == ["latents", "latents"]
        assert of_class["dose"].tolist() == [0, -2]
        assert set(of_class["note"]) == {note}
        assert of_class["loss"].isna().all()
    assert rows[rows["label"] == UNKNOWN]["n_images"].tolist() == [2, 2]
    assert rows[rows["label"] == GHOST]["latents"].iloc[0] != ""
    boat = rows[rows["label"] == BOAT]
    assert set(boat["note"]) == {"shown by one image: no interval"}
    assert boat["loss"].notna().all()
    assert boat["loss_low"].isna().all()
    fog = rows[rows["label"] == FOG]
    assert set(fog["note"]) == {"the probe never predicts it"}
    assert (fog["iou_before"] == 0).all()
    check_notes(rows)


def check_notes(rows):
    """No cell is empty without a word, but for those that no row of its kind has."""
    told = rows.drop(columns=["note", "latents"])
    is_own = told["edit"] == "latents"
    margins = ["margin", "margin_low", "margin_high"]
    told.loc[is_own, margins] = 0
    is_silent = told.isna().any(axis=1) & (rows["note"] == "")
    assert not is_silent.any(), rows[is_silent]


def test_dead_latents_change_nothing_and_the_table_says_so(tmp_path):
    scene = planted_scene().with_latents(car=(DEAD,), bird=(DEAD, 0))
    rows = tables(suppressed(tmp_path, scene))[0]
    car = rows[rows["label"] == CAR]
    assert set(car["note"]) == {"its latents are never active"}
    assert (car["edit_norm"] == 0).all()
    assert (car["loss"] == 0).all()
    assert (car["collateral"] == 0).all()
    assert (car["changed_class"] == 0).all()
    bird = rows[rows["label"] == BIRD]
    assert set(bird["note"]) == {f"never active of its latents: {DEAD}"}
    assert set(bird.loc[bird["edit"] == "latents", "latents"]) == {f"{DEAD} 0"}
    check_notes(rows)


def test_a_class_that_is_alone_has_no_control_by_others_and_no_collateral(tmp_path):
    scene = planted_scene()
    only_trees = np.where(scene.labels.labels_NP == TREE, TREE, 0).astype(np.uint16)
    masks = np.where(scene.labels.masks_MHW == TREE, TREE, 0).astype(np.uint16)
    scene = replace(
        scene,
        labels=replace(scene.labels, labels_NP=only_trees, masks_MHW=masks),
        chosen=[one for one in scene.chosen if one.label == TREE],
    )
    rows = tables(suppressed(tmp_path, scene))[0]
    alone = "no other class in the validation images"
    assert rows["note"].str.contains(alone).all()
    assert rows["collateral"].isna().all()
    without = rows[rows["edit"] == "other_class"]
    assert without["note"].str.endswith("no other class has active latents").all()
    assert (without["n_draws"] == 0).all()
    assert rows[rows["edit"] == "latents"]["iou_before"].notna().all()
    check_notes(rows)


def test_a_class_that_no_patch_mostly_shows_has_no_share_of_patches(tmp_path):
    scene = planted_scene()
    labels_NP = scene.labels.labels_NP.copy()
    labels_NP[labels_NP == CAR] = 0
    labels = replace(scene.labels, labels_NP=labels_NP)
    only_cars = [one for one in scene.chosen if one.label == CAR]
    found = suppressed(tmp_path, replace(scene, labels=labels, chosen=only_cars))
    rows, changes = tables(found)
    assert rows["note"].str.contains("no validation patch shows it most").all()
    assert rows["changed_class"].isna().all()
    measured = rows[rows["edit"] == "latents"]
    assert (measured["loss"] > 0.4).all()
    assert (measured["changed_others"] == 0).all()
    assert changes.empty
    check_notes(rows)


def test_resamples_that_never_show_a_class_make_no_interval(planted):
    before, one, counts = planted[1][CAR]
    without_M = np.where(before.true_MC[:, CAR - 1] > 0, 0.0, 1.0)
    weights_RM = np.stack([np.ones(len(without_M)), without_M])
    rows = pd.DataFrame(class_rows(one, before, counts, weights_RM, CFG.doses))
    told = "no resample shows it with another class: no interval"
    assert set(rows["note"]) == {told}
    assert rows["loss"].notna().all()
    assert rows["loss_low"].isna().all()


def bytes_of(n_shards, n_threads, tmp_path):
    folder = tmp_path / f"{n_shards}-{n_threads}"
    folder.mkdir()
    scene = planted_scene()
    found = with_threads(
        n_threads, lambda: suppressed(folder, scene, n_shards=n_shards)
    )
    return [table.to_csv() for table in tables(found)]


def test_shards_and_cores_change_no_byte(tmp_path):
    one = bytes_of(1, 1, tmp_path)
    assert one == bytes_of(3, 2, tmp_path)
    assert one == bytes_of(2, 3, tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_counts_what_the_cpu_counts(tmp_path, planted):
    scene, found = planted
    on_gpu = suppressed(tmp_path, scene, device=torch.device("cuda"))
    for label in (TREE, CAR):
        counts, again = found[label][2], on_gpu[label][2]
        np.testing.assert_array_equal(again.n_changed_KO, counts.n_changed_KO)
        # A pixel may lie on the border of two classes.
        assert abs(again.hit_KOMC - counts.hit_KOMC).max() <= 2
        assert abs(again.predicted_KOMC - counts.predicted_KOMC).max() <= 2


def test_a_class_is_measured_alike_with_and_without_the_others(tmp_path, rows):
    scene = planted_scene()
    few = replace(scene, chosen=[scene.chosen[BIRD - 1]])
    alone = tables(suppressed(tmp_path, few))[0]
    for edit in set(EDITS) - {"other_class"}:
        row, again = at(rows, BIRD, edit), at(alone, BIRD, edit)
        pd.testing.assert_series_equal(row, again, check_names=False)
