"""Both stages, on planted classes: what is learned, measured, chosen and said."""

import runpy

import numpy as np
import pandas as pd
import pytest
import torch
from recorded import LAYER, with_threads, write_shards
from segmented import labelled

from vitproto.core.project import PROJECT
from vitproto.segmentation.labels.patch_labels import write_patch_labels
from vitproto.segmentation.probes.linear_probe import (
    LinearProbe,
    load_probe,
    load_probes,
    read_probe_settings,
    save_probe,
    save_probes,
)
from vitproto.segmentation.probes.training import ProbeSettings

train_probes, evaluate_probes = (
    runpy.run_path(str(PROJECT / f"scripts/{stage}.py"))[stage]
    for stage in ("train_probes", "evaluate_probes")
)

GRID, SIDE, N_CLASSES, WIDTH = (3, 4), 4, 5, 16
ONLY_IN_TRAINING, ONLY_IN_TESTS = 4, 5
CFG = ProbeSettings(
    learning_rates=(3e-2, 3e-4),
    weight_decays=(0.1, 1e-5),
    n_epochs=4,
    batch_size=32,
    n_mixed=256,
    n_scaling=256,
    held_out_every=5,
    seed=0,
)
FILES = ("probes.safetensors", "probes.csv", "probe.safetensors", "baseline.csv")


def planted():
    """Activations with a direction per class, and labels; a tenth is unlabelled."""
    rng = np.random.default_rng(0)
    label_NP = rng.integers(0, N_CLASSES, (60, GRID[0] * GRID[1]))
    labels = labelled(label_NP, GRID, N_CLASSES, SIDE)
    in_tests_NP = np.broadcast_to(~labels.is_train_N[:, None], label_NP.shape)
    label_NP[in_tests_NP & (label_NP == ONLY_IN_TRAINING)] = 0
    label_NP[-1, :3] = label_NP[-2, 0] = ONLY_IN_TESTS
    direction_LD = np.linalg.qr(rng.standard_normal((WIDTH, N_CLASSES + 1)))[0].T
    x_NPD = 6 * direction_LD[label_NP] + rng.standard_normal((*label_NP.shape, WIDTH))
    return x_NPD.astype("f4"), labelled(label_NP, GRID, N_CLASSES, SIDE)


def run_stages(folder, n_shards=1):
    """Both stages, from activations and labels on disk; gives the paths of FILES."""
    x_NPD, labels = planted()
    shards = write_shards(folder, x_NPD, n_shards)
    write_patch_labels(folder / "patch_labels.h5", labels, {})
    probes, table, best, baseline = (folder / name for name in FILES)
    train_probes(
        shards,
        LAYER,
        folder / "patch_labels.h5",
        probes,
        device="cpu",
        save_every_s=1e9,
        cfg=CFG,
    )
    evaluate_sweep(folder, shards)
    return probes, table, best, baseline


def evaluate_sweep(folder, shards, patch_labels="patch_labels.h5"):
    paths = (folder / name for name in (patch_labels, *FILES))
    evaluate_probes(shards, LAYER, *paths, device="cpu")


def slow_miou(probe, x_NPD, labels):
    """The mIoU of predictions for all pixels of all test images, kept in memory."""
    predicted = []
    for i in labels.i_test_M:
        logits_1CRS = probe(torch.from_numpy(x_NPD[i])).T.unflatten(1, GRID)[None]
        logits_1CHW = torch.nn.functional.interpolate(
            logits_1CRS, scale_factor=SIDE, mode="bilinear", align_corners=False
        )
        predicted.append(logits_1CHW[0].argmax(0).numpy() + 1)
    truth, predicted = labels.masks_MHW, np.stack(predicted)
    is_labelled = truth > 0
    ious = []
    for label in np.unique(truth[is_labelled]):
        is_true, is_so = truth == label, (predicted == label) & is_labelled
        ious.append((is_true & is_so).sum() / (is_true | is_so).sum())
    return np.mean(ious), (predicted == truth)[is_labelled].mean()


def slow_held_out_miou(probe, x_NPD, labels):
    """The mIoU over labelled patches of every fifth training image."""
    images = [i for n, i in enumerate(labels.i_train_N, 1) if n % 5 == 0]
    truth = labels.labels_NP[images].ravel()
    logits_XC = probe(torch.from_numpy(x_NPD[images]).flatten(0, 1))
    predicted = logits_XC.argmax(1).numpy()[truth > 0] + 1
    truth = truth[truth > 0]
    ious = []
    for label in np.unique(truth):
        is_true, is_so = truth == label, predicted == label
        ious.append((is_true & is_so).sum() / (is_true | is_so).sum())
    return np.mean(ious)


def test_the_table_has_all_probes_and_the_best_on_held_out_images_is_kept(tmp_path):
    probes, table, best, _ = run_stages(tmp_path)
    x_NPD, labels = planted()
    rows = pd.read_csv(table)
    trained = load_probes(probes)
    assert rows["learning_rate"].tolist() == [3e-2, 3e-2, 3e-4, 3e-4]
    assert rows["weight_decay"].tolist() == [0.1, 1e-5, 0.1, 1e-5]
    for (_, row), one in zip(rows.iterrows(), trained, strict=True):
        miou, pixel_accuracy = slow_miou(one.probe, x_NPD, labels)
        assert row["miou"] == pytest.approx(miou, abs=1e-3)
        assert row["pixel_accuracy"] == pytest.approx(pixel_accuracy, abs=1e-3)
        assert row["loss"] == one.loss
        held_out = slow_held_out_miou(one.probe, x_NPD, labels)
        assert row["held_out_miou"] == pytest.approx(held_out, abs=1e-12)
    i_best = int(rows["is_best"].to_numpy().argmax())
    assert rows["is_best"].sum() == 1
    assert rows["held_out_miou"].idxmax() == i_best
    assert torch.equal(load_probe(best).weight_CD, trained[i_best].probe.weight_CD)
    settings = read_probe_settings(best)
    assert settings["learning_rate"] == rows["learning_rate"][i_best]
    assert settings["sweep"]["seed"] == 0
    assert settings["sweep"]["classes"] == labels.classes


def test_the_baseline_says_what_is_missing_and_what_is_never_predicted(tmp_path):
    probes, *_, baseline = run_stages(tmp_path)
    trained = load_probes(probes)
    for one in trained:
        one.probe.bias_C[ONLY_IN_TESTS - 1] = -100
    save_probes(probes, trained, {"held_out_every": 5})
    x_NPD, labels = planted()
    evaluate_sweep(tmp_path, write_shards(tmp_path, x_NPD))
    text = baseline.read_text()
    assert "nan" not in text.lower()
    rows = pd.read_csv(baseline, keep_default_na=False).set_index("label")
    n_pixels = [(labels.masks_MHW == label).sum() for label in range(1, 6)]
    assert rows["n_pixels"].tolist() == n_pixels
    assert rows["class_name"].tolist() == labels.classes
    assert rows["note"][:3].tolist() == ["", "", ""]
    assert rows["iou"][:3].astype(float).min() > 0.5
    absent = rows.loc[ONLY_IN_TRAINING]
    assert absent["note"] == "not in the validation images"
    assert (absent["iou"], absent["accuracy"], absent["n_images"]) == ("", "", 0)
    unknown = rows.loc[ONLY_IN_TESTS]
    assert unknown["note"] == "the probe never predicts it"
    assert (float(unknown["iou"]), unknown["n_predicted"]) == (0, 0)
    assert unknown["n_images"] == 2


def test_validation_images_choose_nothing(tmp_path):
    _, table, best, _ = run_stages(tmp_path / "a")
    chosen = load_probe(best).weight_CD
    x_NPD, labels = planted()
    x_NPD[~labels.is_train_N] *= -1
    shards = write_shards(tmp_path / "a", x_NPD, 1)
    before = pd.read_csv(table)
    evaluate_sweep(tmp_path / "a", shards)
    after = pd.read_csv(table)
    assert (after["miou"] < before["miou"]).all()
    same = ["held_out_miou", "is_best"]
    pd.testing.assert_frame_equal(after[same], before[same])
    assert torch.equal(load_probe(best).weight_CD, chosen)


def test_shards_and_cores_change_no_byte(tmp_path):
    found = set()
    for n_shards, n_threads in ((1, 1), (3, 2), (7, 3)):
        files = with_threads(
            n_threads, lambda n=n_shards: run_stages(tmp_path / str(n), n)
        )
        found.add(tuple(file.read_bytes() for file in files))
    assert len(found) == 1


def test_probes_of_other_classes_are_refused(tmp_path):
    run_stages(tmp_path)
    x_NPD, labels = planted()
    fewer = labelled(np.minimum(labels.labels_NP, 3), GRID, 3, SIDE)
    write_patch_labels(tmp_path / "fewer.h5", fewer, {})
    with pytest.raises(ValueError, match="predicts 5 classes, but the labels have 3"):
        evaluate_sweep(tmp_path, write_shards(tmp_path, x_NPD), "fewer.h5")


def test_one_probe_in_place_of_a_sweep_is_refused(tmp_path):
    run_stages(tmp_path)
    x_NPD, _ = planted()
    probe = LinearProbe(torch.zeros(N_CLASSES, WIDTH), torch.zeros(N_CLASSES))
    save_probe(tmp_path / FILES[0], probe, {})
    with pytest.raises(ValueError, match="expected linear_probes"):
        evaluate_sweep(tmp_path, write_shards(tmp_path, x_NPD), "patch_labels.h5")


def test_masks_that_show_no_class_cannot_be_measured(tmp_path):
    run_stages(tmp_path)
    x_NPD, labels = planted()
    labels.masks_MHW[:] = 0
    write_patch_labels(tmp_path / "empty.h5", labels, {})
    with pytest.raises(ValueError, match="none of the 20 test masks shows any of"):
        evaluate_sweep(tmp_path, write_shards(tmp_path, x_NPD), "empty.h5")


def test_probes_are_not_measured_on_activations_of_another_encoder(tmp_path):
    run_stages(tmp_path)
    x_NPD, _ = planted()
    (tmp_path / "other").mkdir()
    shards = write_shards(tmp_path / "other", x_NPD, encoder="other")
    with pytest.raises(ValueError, match="encoder tiny, but .*h5 with encoder other"):
        evaluate_sweep(tmp_path, shards)
