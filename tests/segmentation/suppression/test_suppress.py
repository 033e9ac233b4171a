"""Suppressing the latent of a planted class removes that class, and says all it did."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from recorded import LAYER, with_threads, write_shards
from segmentation_planted import (
    BIRD,
    CAR,
    CFG,
    FOG,
    GROUND,
    TREE,
    planted_scene,
)

from vitproto.activations.stream import Activations
from vitproto.core.hdf5_file import open_new, write_attributes
from vitproto.core.unfinished import Unfinished
from vitproto.segmentation.suppression.changes import change_rows
from vitproto.segmentation.suppression.counts_file import read_counts
from vitproto.segmentation.suppression.edited_logits import AtProbeLayer
from vitproto.segmentation.suppression.kept_classes import KeptClasses
from vitproto.segmentation.suppression.recorded_counts import record_counts
from vitproto.segmentation.suppression.suppress import suppress
from vitproto.segmentation.suppression.terms import EDITS, Place

CPU = torch.device("cpu")
PLACE = {
    **{"encoder": "tiny", "probe_layer": 2, "layer": 2},
    **{"method": "toy", "run": "k24-seed0"},
}


def suppressed(folder, scene, cfg=CFG, n_shards=1, device=CPU):
    """All that `suppress` yields, by label."""
    acts = Activations.open(write_shards(folder, scene.x_NPD, n_shards), LAYER)
    found = suppress(
        *(acts, scene.labels, scene.autoencoder, scene.activity, scene.chosen),
        *(scene.directions_CD, AtProbeLayer(scene.probe.to(device)), device, cfg),
        KeptClasses(Unfinished(folder / "counts.h5", {})),
    )
    return {one.label: (before, one, counts) for before, one, counts in found}


def record(path, scene, found, cfg=CFG):
    """Write the file of counts; gives the table of changes and how many classes."""
    attributes = {"doses": cfg.doses}
    return record_counts(path, found.values(), scene.labels, PLACE, attributes, cfg)


def changes_of(found, cfg=CFG):
    names = [f"class {i}" for i in range(99)]
    return pd.DataFrame(
        [
            row
            for _, one, counts in found.values()
            for row in change_rows(one, counts, cfg.doses, names)
        ]
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    scene = planted_scene()
    return scene, suppressed(tmp_path_factory.mktemp("acts"), scene)


def test_patches_of_a_removed_class_change_to_the_ground(planted):
    changes = changes_of(planted[1])
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
    assert before.length_M.mean() == pytest.approx(lengths.mean().item(), rel=1e-6)
    labels_MP = scene.labels.labels_NP[scene.labels.i_test_M]
    for o, dose in enumerate(CFG.doses):
        edited_XS = f_XS.clone()
        for latent in one.latents:
            edited_XS[:, latent] = dose * scene.activity.largest_S[latent]
        after_XD = sae.decode(edited_XS) + (x_XD - sae.decode(f_XS))
        edit_X = (after_XD - x_XD).norm(dim=1)
        edit_M = edit_X.unflatten(0, x_MPD.shape[:2]).mean(1)
        np.testing.assert_allclose(counts.length_OM[o], edit_M, rtol=1e-6, atol=1e-12)
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


def bytes_of(n_shards, n_threads, tmp_path):
    folder = tmp_path / f"{n_shards}-{n_threads}"
    folder.mkdir()
    scene = planted_scene()
    found = with_threads(
        n_threads, lambda: suppressed(folder, scene, n_shards=n_shards)
    )
    changes, _ = record(folder / "counts.h5", scene, found)
    return (folder / "counts.h5").read_bytes(), changes.to_csv()


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


def test_the_file_holds_the_counts_that_were_written(tmp_path, planted):
    scene, found = planted
    _, n_measured = record(tmp_path / "counts.h5", scene, found)
    read = read_counts(tmp_path / "counts.h5")
    assert read.place == Place(**PLACE)
    assert read.doses_O == CFG.doses
    assert read.labels == tuple(range(1, 9))
    before = found[TREE][0]
    for name in ("true_MC", "predicted_MC", "hit_MC", "length_M"):
        np.testing.assert_array_equal(getattr(read, name), getattr(before, name))
    measured = 0
    for label, (_, one, counts) in found.items():
        again = read.read_class(label)
        assert again.chosen == one
        if counts is None:
            assert again.kinds_K == ()
            continue
        measured += 1
        assert again.kinds_K == counts.edits.kinds_K
        np.testing.assert_array_equal(again.length_OM, counts.length_OM)
        np.testing.assert_array_equal(again.n_changed_KO, counts.n_changed_KO)
        for change_X, total_KOMC, before_MC in (
            (again.predicted_X, counts.predicted_KOMC, before.predicted_MC),
            (again.hit_X, counts.hit_KOMC, before.hit_MC),
        ):
            full_KOMC = np.broadcast_to(before_MC, total_KOMC.shape).copy()
            full_EMC = full_KOMC.reshape(-1, *before_MC.shape)
            edit_X = np.repeat(np.arange(len(full_EMC)), np.diff(again.start_E))
            full_EMC[edit_X, again.image_X, again.class_X] += change_X
            np.testing.assert_array_equal(
                full_EMC.reshape(total_KOMC.shape), total_KOMC
            )
    assert n_measured == measured


def test_a_damaged_file_or_another_is_refused(tmp_path, planted):
    scene, found = planted
    path = tmp_path / "counts.h5"
    with pytest.raises(ValueError, match="there is no "):
        read_counts(path)
    record(path, scene, found)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="is damaged or holds no counts"):
        read_counts(path)
    with open_new(path) as file:
        write_attributes(file, {"format": "else"})
    with pytest.raises(ValueError, match="its format is 'else'"):
        read_counts(path)


def test_a_class_is_measured_alike_with_and_without_the_others(tmp_path, planted):
    few = replace(planted[0], chosen=[planted[0].chosen[BIRD - 1]])
    one, alone = planted[1][BIRD][2], suppressed(tmp_path, few)[BIRD][2]
    for edit in set(EDITS) - {"other_class"}:
        k, again = one.edits.draws_of(edit), alone.edits.draws_of(edit)
        np.testing.assert_array_equal(one.hit_KOMC[k], alone.hit_KOMC[again])
        np.testing.assert_array_equal(
            one.predicted_KOMC[k], alone.predicted_KOMC[again]
        )
