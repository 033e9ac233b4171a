"""The stages, on files: planted latents and directions are found and written."""

import dataclasses
import json
import runpy
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from autoencoders import identity_autoencoder, write_family
from flat_flags import call_flat
from PIL import Image
from recorded import IN_FAMILY, LAYER, TOY, with_threads, write_shards
from safetensors import safe_open
from safetensors.numpy import load_file

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.core.project import PROJECT
from vitproto.data.image_list import IMAGE_COLUMNS, write_image_list
from vitproto.prototypes import checkpoint
from vitproto.prototypes.scorer import DotProduct
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.linear_probe import LinearProbe, save_probe
from vitproto.segmentation.suppression.class_directions import (
    load_directions,
    probe_directions,
    save_directions,
)
from vitproto.segmentation.suppression.class_latents import RankingSettings
from vitproto.segmentation.suppression.encoder_tail import Tail, mean_class_gradients
from vitproto.study.run import Run

DEMO = EncoderSettings(
    f"local-dir:{PROJECT / 'encoders/demo'}", "own", "hub", 64, 8, 64, 4
)
CFG = RankingSettings(
    min_purity=0.9, n_patches=500, n_ranked=4, n_chosen=1, chosen_by="f1", seed=0
)
NAMES = ["sky", "tree, or bush", "water", "NA"]
WIDTH = 6


def stage(name, labels):
    """A stage that finds these patch labels, whatever file it is told."""
    function = runpy.run_path(str(PROJECT / f"scripts/{name}.py"))[name]
    function.__globals__["read_patch_labels"] = lambda _path: labels
    return partial(call_flat, function)


def make_labels(labels_NP, n_test):
    n_images, n_patches = labels_NP.shape
    return PatchLabels(
        image_ids=[f"image{i}" for i in range(n_images)],
        is_train_N=np.arange(n_images) < n_images - n_test,
        classes=NAMES,
        labels_NP=labels_NP.astype(np.uint16),
        purity_NP=np.ones(labels_NP.shape, np.float32),
        masks_MHW=np.zeros((n_test, 8, n_patches // 8), np.uint16),
    )


def planted():
    """Labels 1 to 3 raise a direction each; label 4 is in no training image."""
    rng = np.random.default_rng(0)
    labels_NP = rng.integers(0, 4, (20, 16))
    labels_NP[16:] = 4
    x_NPD = rng.uniform(0, 0.2, (20, 16, WIDTH)).astype(np.float32)
    for label, direction in ((1, 4), (2, 0), (3, 2)):
        x_NPD[labels_NP == label, direction] += 1
    return x_NPD, make_labels(labels_NP, n_test=4)


RUN = Run(2 * WIDTH, 0)
OTHER = Run(4, 0)


@pytest.fixture
def inputs(tmp_path):
    x_NPD, labels = planted()
    manifest = write_family(tmp_path, {RUN: identity_autoencoder(WIDTH)})
    directions_CD = np.zeros((4, WIDTH), np.float32)
    directions_CD[[0, 1, 2], [4, 0, 2]] = [2, -1, 1]
    directions_CD[2, 3], directions_CD[3] = 1, np.nan
    save_directions(tmp_path / "directions.safetensors", directions_CD, {"layer": 2})
    files = {
        "shards": write_shards(tmp_path, x_NPD),
        "patch_labels": tmp_path / "patch_labels.h5",
        "directions": tmp_path / "directions.safetensors",
        "checkpoints": manifest,
        "class_latents": tmp_path / "class_latents.csv",
        "activity": tmp_path / "latent_activity.csv",
    }
    how = {
        **IN_FAMILY,
        "layer": LAYER,
        "run": RUN.name,
        "picked": (),
        "device": "cpu",
    }
    return labels, {**files, **how, "cfg": CFG}


def test_planted_latents_are_written_with_their_classes(inputs):
    labels, arguments = inputs
    stage("find_class_latents", labels)(**arguments)
    table = pd.read_csv(arguments["class_latents"], keep_default_na=False, dtype=str)
    chosen = table[table["is_chosen"] == "True"]
    assert dict(zip(chosen["class_name"], chosen["latent"], strict=True)) == {
        "sky": "4",
        "tree, or bush": "0",
        "water": "2",
    }
    assert set(chosen["criterion"]) == {"f1"}
    assert chosen["f1"].tolist() == ["1.0"] * 3
    assert chosen["alignment"].astype(float).tolist() == pytest.approx(
        [1, -1, 0.5**0.5]
    )
    absent = table[table["label"] == "4"].iloc[0].to_dict()
    empty = [name for name, cell in absent.items() if cell == ""]
    assert empty == ["rank", "latent", "ap", "f1", "threshold", "alignment"]
    assert absent["note"] == "no training patch of purity ≥ 0.9"
    assert absent["class_name"] == "NA"

    x_NPD, _ = planted()
    active = pd.read_csv(arguments["activity"])
    assert active["latent"].tolist() == list(range(12))
    assert active["n_active"].tolist() == [16 * 16] * 6 + [0] * 6
    largest_S = active["largest"].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(largest_S[:6], x_NPD[:16].max((0, 1)))


def test_shards_and_threads_change_no_byte(inputs, tmp_path):
    labels, arguments = inputs
    x_NPD, _ = planted()
    kept = []
    for n_shards, n_threads in ((1, 1), (3, 2)):
        arguments["shards"] = write_shards(tmp_path, x_NPD, n_shards)
        with_threads(
            n_threads, lambda: stage("find_class_latents", labels)(**arguments)
        )
        kept.append(
            [arguments[name].read_bytes() for name in ("class_latents", "activity")]
        )
    assert kept[0] == kept[1]


def test_latents_chosen_by_hand_replace_those_of_their_class_only(inputs):
    labels, arguments = inputs
    arguments["picked"] = ("2:7,5",)
    stage("find_class_latents", labels)(**arguments)
    table = pd.read_csv(arguments["class_latents"], keep_default_na=False)
    chosen = table[table["is_chosen"]]
    of_tree = chosen[chosen["label"] == 2]
    assert set(of_tree["latent"].astype(int)) == {5, 7}
    assert set(of_tree["criterion"]) == {"ap"}
    assert (of_tree["ap"].astype(float) > 0).all()
    others = chosen.loc[chosen["label"] != 2, "latent"].astype(int)
    assert others.tolist() == [4, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "k9-seed0"}, "lists no run k9-seed0: write one of k12-seed0"),
        ({"picked": ("9:1",)}, "label 9, but there are 4 classes"),
        ({"picked": ("1:12",)}, "latent 12 is picked for label 1"),
    ],
)
def test_what_does_not_exist_is_refused(inputs, change, message):
    labels, arguments = inputs
    with pytest.raises(ValueError, match=message):
        stage("find_class_latents", labels)(**{**arguments, **change})
    assert not arguments["class_latents"].exists()


def test_only_an_autoencoder_of_these_activations_can_be_suppressed(inputs, tmp_path):
    labels, arguments = inputs
    paths = {OTHER: tmp_path / "dot.safetensors", RUN: tmp_path / "wide.safetensors"}
    checkpoint.save(paths[OTHER], DotProduct(torch.ones(4, WIDTH)), {})
    checkpoint.save(paths[RUN], identity_autoencoder(WIDTH + 1), {})
    checkpoint.write_manifest(arguments["checkpoints"], paths, TOY)
    find = stage("find_class_latents", labels)
    with pytest.raises(ValueError, match="width 7, but these have 6"):
        find(**arguments)
    arguments["run"] = OTHER.name
    with pytest.raises(ValueError, match="which has no latents to suppress"):
        find(**arguments)


def test_directions_of_another_probe_are_refused(inputs):
    labels, arguments = inputs
    save_directions(arguments["directions"], np.ones((3, WIDTH), np.float32), {})
    with pytest.raises(ValueError, match="of 3 classes with 6 values, expected 4"):
        stage("find_class_latents", labels)(**arguments)
    arguments["directions"].write_bytes(b"no")
    with pytest.raises(ValueError, match="is damaged"):
        stage("find_class_latents", labels)(**arguments)
    save_probe(
        arguments["directions"], LinearProbe(torch.ones(4, 6), torch.ones(4)), {}
    )
    with pytest.raises(ValueError, match="holds no class directions"):
        stage("find_class_latents", labels)(**arguments)


@pytest.fixture
def pictures(tmp_path):
    """Six images of 64 patches; label 4 is in the last, a test image."""
    rng = np.random.default_rng(0)
    (tmp_path / "root").mkdir()
    rows = []
    for i in range(6):
        image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        image.resize((64, 64)).save(tmp_path / f"root/{i}.png")
        rows.append([f"image{i}", f"{i}.png"])
    listed = pd.DataFrame(rows, columns=IMAGE_COLUMNS)
    write_image_list(listed, tmp_path / "images.csv")
    labels_NP = rng.integers(0, 4, (6, 64))
    labels_NP[5] = 4
    generator = torch.Generator().manual_seed(0)
    probe = LinearProbe(
        torch.randn(4, 64, generator=generator), torch.randn(4, generator=generator)
    )
    save_probe(tmp_path / "probe.safetensors", probe, {})
    arguments = {
        "root": tmp_path / "root",
        "images": tmp_path / "images.csv",
        "patch_labels": tmp_path / "patch_labels.h5",
        "probe": tmp_path / "probe.safetensors",
        "directions": tmp_path / "directions.safetensors",
        "dataset": "toy",
        "layer": 1,
        "probe_layer": 3,
        "n_gradient_images": 2,
        "compute_dtype": "float32",
        "device": "cpu",
        "encoder_cfg": DEMO,
    }
    return make_labels(labels_NP, n_test=1), probe, arguments


def test_directions_of_an_earlier_layer_are_mean_gradients(pictures):
    labels, probe, arguments = pictures
    stage("find_class_directions", labels)(**arguments)
    found_CD = load_directions(arguments["directions"], 4, 64)
    tail = Tail(load_encoder(DEMO, "float32", [1, 3]), 1, 3)
    expected_CD = mean_class_gradients(
        tail,
        probe,
        [arguments["root"] / f"{i}.png" for i in range(5)],
        labels.labels_NP[:5],
        2,
        torch.device("cpu"),
    )
    np.testing.assert_array_equal(found_CD, expected_CD)
    # Label 4 is in a test image only, which is not asked.
    assert np.isfinite(found_CD).all(axis=1).tolist() == [True, True, True, False]
    before = arguments["directions"].read_bytes()
    with_threads(2, lambda: stage("find_class_directions", labels)(**arguments))
    assert arguments["directions"].read_bytes() == before


def test_at_the_probes_layer_neither_images_nor_encoder_are_needed(pictures):
    labels, probe, arguments = pictures
    arguments |= {"layer": 3, "root": arguments["root"] / "gone"}
    arguments["encoder_cfg"] = dataclasses.replace(DEMO, model="local-dir:gone")
    stage("find_class_directions", labels)(**arguments)
    found = load_file(arguments["directions"])
    assert list(found) == ["class_directions_CD"]
    np.testing.assert_array_equal(found["class_directions_CD"], probe_directions(probe))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 3, "probe_layer": 1}, "layer 3 never reaches a probe of layer 1"),
        ({"n_gradient_images": 0}, "n_gradient_images is 0"),
        ({"probe_layer": 4}, "has layers 0 to 3, not"),
    ],
)
def test_layers_that_do_not_fit_are_refused(pictures, change, message):
    labels, _, arguments = pictures
    with pytest.raises(ValueError, match=message):
        stage("find_class_directions", labels)(**{**arguments, **change})


def test_a_probe_of_another_encoder_is_refused(pictures):
    labels, _, arguments = pictures
    save_probe(arguments["probe"], LinearProbe(torch.ones(4, 8), torch.ones(4)), {})
    with pytest.raises(ValueError, match="a probe of 4 classes on 8 values, but"):
        stage("find_class_directions", labels)(**arguments)


def test_an_autoencoder_or_directions_of_another_encoder_are_refused(inputs):
    labels, arguments = inputs
    folder = arguments["class_latents"].parent
    other = {"encoder": "other"}
    made = {"layer": LAYER, "found_for": other}
    save_directions(arguments["directions"], np.ones((4, WIDTH), np.float32), made)
    with pytest.raises(ValueError, match="directions.safetensors was made with enc"):
        stage("find_class_latents", labels)(**arguments)
    autoencoders = {RUN: identity_autoencoder(WIDTH)}
    write_family(folder, autoencoders, fitted_to=other, layer=LAYER)
    with pytest.raises(ValueError, match="-seed0.safetensors was made with encoder"):
        stage("find_class_latents", labels)(**arguments)
    assert not arguments["class_latents"].exists()


def test_directions_say_what_the_probe_was_trained_on(pictures):
    labels, probe, arguments = pictures
    attributes = load_encoder(DEMO, "float32", [1]).attributes()
    sweep = {"trained_on": {**attributes, "dataset": "toy"}, "layer": 3}
    save_probe(arguments["probe"], probe, {"sweep": sweep})
    stage("find_class_directions", labels)(**arguments)
    with safe_open(arguments["directions"], "np") as file:
        settings = json.loads(file.metadata()["vitproto"])["settings"]
    assert settings["found_for"] == sweep["trained_on"]
    assert settings["layer"] == 1


def test_a_probe_of_another_encoder_or_layer_gives_no_directions(pictures):
    labels, probe, arguments = pictures
    trained_on = {"weights_digest": "aa"}
    save_probe(
        arguments["probe"], probe, {"sweep": {"trained_on": trained_on, "layer": 3}}
    )
    with pytest.raises(ValueError, match="weights_digest aa, but the encoder local"):
        stage("find_class_directions", labels)(**arguments)
    save_probe(arguments["probe"], probe, {"sweep": {"trained_on": {}, "layer": 2}})
    with pytest.raises(ValueError, match="layer 2, but the configuration with layer 3"):
        stage("find_class_directions", labels)(**arguments)
    assert not arguments["directions"].exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit_dataset": "inat21"}, "fit_dataset corpus, expected fit_dataset inat21"),
        ({"encoder": "dino"}, "it says encoder tiny, expected encoder dino: delete it"),
    ],
)
def test_an_autoencoder_of_another_family_is_refused(inputs, change, message):
    labels, arguments = inputs
    with pytest.raises(ValueError, match=message):
        stage("find_class_latents", labels)(**{**arguments, **change})
    assert not arguments["class_latents"].exists()
