"""The stage, from files to tables: at the probe's layer and before it."""

import dataclasses
import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from autoencoders import normal, random_autoencoder, write_family
from flat_flags import call_flat
from PIL import Image
from recorded import LAYER, TOY, with_threads, write_shards
from safetensors.torch import save_file
from segmentation_planted import CAR, CFG, GHOST, TREE, planted_scene

from vitproto.activations.encoder import Encoder, EncoderSettings, load_encoder
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.activations.torchvision_shim import import_open_clip
from vitproto.core.project import PROJECT
from vitproto.launch.cli import run
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.labels.patch_labels import PatchLabels, write_patch_labels
from vitproto.segmentation.probes.linear_probe import LinearProbe, save_probe
from vitproto.segmentation.probes.pixels import count_pixels
from vitproto.segmentation.suppression import suppress as suppress_module
from vitproto.segmentation.suppression.class_directions import (
    probe_directions,
    save_directions,
)
from vitproto.segmentation.suppression.edited_logits import AtEarlierLayer
from vitproto.segmentation.suppression.edits import (
    CONTROLS,
    EDITS,
    Activity,
    SuppressionSettings,
)
from vitproto.segmentation.suppression.encoder_tail import Tail
from vitproto.segmentation.suppression.terms import ChosenClass
from vitproto.study.run import Run

suppress_latents, measure_suppression = (
    runpy.run_path(str(PROJECT / f"scripts/{stage}.py"))[stage]
    for stage in ("suppress_latents", "measure_suppression")
)

UNUSED = EncoderSettings("none", "none", "random", 24, 6, 256, 4)
"""The settings of an encoder that is not run."""


def write_tables(folder, chosen, activity):
    """class_latents.csv and latent_activity.csv, with what is read of them."""
    rows = [
        {
            "label": one.label,
            "class_name": one.name,
            "criterion": "ap",
            "latent": latent,
            "is_chosen": latent is not None,
            "note": "; ".join(one.notes),
        }
        for one in chosen
        for latent in one.latents or (None,)
    ]
    table = pd.DataFrame(rows).astype({"latent": "Int64"})
    # A runner-up that is not chosen.
    extra = table.iloc[:1].assign(latent=3, is_chosen=False)
    pd.concat([table, extra]).to_csv(folder / "class_latents.csv", index=False)
    pd.DataFrame(
        {
            "latent": np.arange(len(activity.largest_S)),
            "n_active": activity.is_active_S * 5,
            "largest": activity.largest_S,
        }
    ).to_csv(folder / "latent_activity.csv", index=False)


@pytest.fixture
def study(tmp_path):
    scene = planted_scene()
    write_shards(tmp_path, scene.x_NPD, 2)
    write_patch_labels(tmp_path / "patch_labels.h5", scene.labels, {})
    save_probe(tmp_path / "probe.safetensors", scene.probe, {})
    save_directions(
        tmp_path / "directions.safetensors", probe_directions(scene.probe), {}
    )
    write_family(tmp_path, {Run(24, 0): scene.autoencoder})
    write_tables(tmp_path, scene.chosen, scene.activity)
    return tmp_path, scene


def stage(folder, **changes):
    (folder / "out").mkdir(exist_ok=True)
    arguments = {
        "root": folder / "data",
        "images": folder / "images.csv",
        "shards": tuple(sorted(folder.glob("*-of-*.h5"))[::-1]),
        "patch_labels": folder / "patch_labels.h5",
        "probe": folder / "probe.safetensors",
        "checkpoints": folder / "checkpoints.json",
        "class_latents": folder / "class_latents.csv",
        "activity": folder / "latent_activity.csv",
        "directions": folder / "directions.safetensors",
        "counts": folder / "out/counts.h5",
        "changes": folder / "out/changes.csv",
        "dataset": "scenes",
        "fit_dataset": "corpus",
        "encoder": "tiny",
        "probe_layer": LAYER,
        "layer": LAYER,
        "method": "toy",
        "run": "k24-seed0",
        "compute_dtype": "float32",
        "device": "cpu",
        "encoder_cfg": UNUSED,
        "cfg": CFG,
    }
    call_flat(suppress_latents, **{**arguments, **changes})
    out = folder / "out"
    tables = [out / name for name in ("suppression.csv", "means.csv", "compared.csv")]
    measure_suppression(
        (out / "counts.h5",), (tables[0],), *tables[1:], controls=("untrained",)
    )
    return out


def read(out, name="suppression"):
    return pd.read_csv(out / f"{name}.csv", keep_default_na=False, dtype=str)


def test_the_tables_hold_every_class_edit_and_dose_with_their_origin(study):
    folder, scene = study
    rows = read(stage(folder))
    assert rows.columns[:9].tolist() == [
        *("encoder", "probe_layer", "layer", "method", "run"),
        *("label", "class_name", "edit", "dose"),
    ]
    assert rows.columns[-1] == "note"
    assert set(rows["run"]) == {"k24-seed0"}
    assert rows["label"].astype(int).is_monotonic_increasing
    tree = rows[rows["label"] == str(TREE)]
    assert tree["edit"].tolist() == [edit for edit in EDITS for _ in CFG.doses]
    assert tree["dose"].tolist() == ["0", "-2"] * len(EDITS)
    assert tree["n_draws"].tolist() == ["1"] * 2 + ["3"] * 8 + ["1"] * 2
    own = tree.iloc[1]
    assert own["latents"] == str(scene.chosen[TREE - 1].latents[0])
    assert float(own["iou_after"]) < 0.1 * float(own["iou_before"])
    margins = tree[tree["edit"].isin(CONTROLS)]["margin"]
    assert (margins != "").all()
    assert (tree[tree["edit"] == "latents"]["margin"] == "").all()
    ghost = rows[rows["label"] == str(GHOST)]
    assert ghost["note"].tolist() == ["not in the validation images"] * 2
    assert ghost["iou_before"].tolist() == ["", ""]
    assert "nan" not in (folder / "out/suppression.csv").read_text().lower()


def test_changes_add_up_to_the_patches_that_change(study):
    folder, _ = study
    out = stage(folder)
    changes = read(out, "changes")
    for label in (TREE, CAR):
        for dose in ("0.0", "-2.0"):
            of_class = changes[
                (changes["label"] == str(label)) & (changes["dose"] == dose)
            ]
            assert of_class["share"].astype(float).sum() == pytest.approx(1)
            assert (of_class["to_label"] != str(label)).all()


def test_shards_and_cores_change_no_byte(study):
    folder, scene = study
    found = {}
    for n_shards, n_threads in ((1, 1), (3, 2)):
        for shard in folder.glob("*-of-*.h5"):
            shard.unlink()
        write_shards(folder, scene.x_NPD, n_shards)
        out = with_threads(n_threads, lambda: stage(folder))
        names = ("counts.h5", "suppression.csv", "means.csv", "changes.csv")
        found[n_shards] = [(out / name).read_bytes() for name in names]
    assert found[1] == found[3]


def test_doses_below_zero_can_be_written_on_the_command_line(study, monkeypatch):
    folder, _ = study
    out = stage(folder)
    expected = (out / "counts.h5").read_bytes()
    names = {
        "shards": sorted(folder.glob("*-of-*.h5")),
        "patch_labels": ["patch_labels.h5"],
        "probe": ["probe.safetensors"],
        "checkpoints": ["checkpoints.json"],
        "class_latents": ["class_latents.csv"],
        "activity": ["latent_activity.csv"],
        "directions": ["directions.safetensors"],
        "counts": ["again.h5"],
        "changes": ["changes.csv"],
        "root": ["data"],
        "images": ["images.csv"],
    }
    words = ["suppress_latents.py"]
    for flag, files in names.items():
        words += [f"--{flag}", *(str(folder / file) for file in files)]
    settings = (
        "--dataset scenes --encoder tiny --probe_layer 2 --layer 2 --method toy"
        " --fit_dataset corpus --run k24-seed0 --compute_dtype float32"
        " --device cpu --model none --pretrained none --weights random"
        " --image_size 24 --patch_size 6 --width 256 --n_blocks 4 --doses 0 -2"
        " --n_draws 3 --seed 0"
    )
    words += settings.split()
    monkeypatch.setattr(sys, "argv", words)
    run(suppress_latents)
    assert (folder / "again.h5").read_bytes() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("name", "names label 1 'ground', but"),
        ("latent", "chooses latent 99 for ground, but the autoencoder has 24"),
        ("column", "lacks the columns is_chosen"),
        ("activity", "lists 23 latents, but the autoencoder has 24"),
    ],
)
def test_tables_of_other_studies_are_refused(study, change, message):
    folder, scene = study
    table = pd.read_csv(folder / "class_latents.csv", dtype={"latent": "Int64"})
    if change == "name":
        classes = ["floor", *scene.labels.classes[1:]]
        labels = PatchLabels(**{**vars(scene.labels), "classes": classes})
        write_patch_labels(folder / "patch_labels.h5", labels, {})
    if change == "latent":
        table.loc[0, "latent"] = 99
    if change == "column":
        table = table.drop(columns="is_chosen")
    if change == "activity":
        activity = pd.read_csv(folder / "latent_activity.csv")
        activity.iloc[:-1].to_csv(folder / "latent_activity.csv", index=False)
    table.to_csv(folder / "class_latents.csv", index=False)
    with pytest.raises(ValueError, match=message):
        stage(folder)
    assert not list(folder.glob("out/*"))


VISION = {
    "image_size": 32,
    "layers": 3,
    "width": 64,
    "head_width": 32,
    "patch_size": 8,
}
TEXT = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 1, "layers": 1}
PREPROCESS = {
    "size": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
N_TRAIN, N_IMAGES, CLASSES = 3, 7, ["a", "b", "c", "d"]
EARLY = SuppressionSettings(doses=(0.0, -3.0), n_draws=4, seed=0)


def tiny_encoder(folder):
    """A tiny CLIP with random weights, as a folder of open_clip."""
    folder.mkdir()
    model_cfg = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
    config = {"model_cfg": model_cfg, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(7)
    model = import_open_clip().create_model(
        f"local-dir:{folder}", load_weights=False, pretrained_text=False
    )
    weights = {name: w.contiguous() for name, w in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return EncoderSettings(f"local-dir:{folder}", "own", "hub", 32, 8, 64, 3)


class Early(NamedTuple):
    """A study whose autoencoder is of layer 0 and whose probe is of layer 2."""

    folder: Path
    settings: EncoderSettings
    encoder: Encoder
    pixels_NCHW: torch.Tensor
    acts_NPD: torch.Tensor
    """The activations of layer 0."""
    labels: PatchLabels
    probe: LinearProbe
    autoencoder: SparseAutoencoder
    activity: Activity
    chosen: list[ChosenClass]


@pytest.fixture
def early(tmp_path):
    """A data set of noise and an encoder of random weights."""
    rng = np.random.default_rng(0)
    settings = tiny_encoder(tmp_path / "tiny")
    encoder = load_encoder(settings, "float32", (0, 2))
    (tmp_path / "data").mkdir()
    lines, pixels = ["image_id,path"], []
    for i in range(N_IMAGES):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((32, 32), Image.Resampling.NEAREST)
        image.save(tmp_path / f"data/{i}.png")
        lines.append(f"image{i},{i}.png")
        pixels.append(encoder.preprocessing.read(tmp_path / f"data/{i}.png"))
    (tmp_path / "images.csv").write_text("\n".join(lines) + "\n")
    pixels_NCHW = torch.from_numpy(np.stack(pixels))
    acts = {
        layer: torch.cat(
            [
                encoder.encode(one[None], [layer])[layer].patches_BPD
                for one in pixels_NCHW
            ]
        )
        for layer in (0, 2)
    }
    labels_NP = rng.integers(0, len(CLASSES) + 1, (N_IMAGES, 16)).astype(np.uint16)
    labels = PatchLabels(
        image_ids=[f"image{i}" for i in range(N_IMAGES)],
        is_train_N=np.arange(N_IMAGES) < N_TRAIN,
        classes=CLASSES,
        labels_NP=labels_NP,
        purity_NP=np.ones(labels_NP.shape, np.float32),
        masks_MHW=labels_NP[N_TRAIN:].reshape(-1, 4, 4).repeat(8, 1).repeat(8, 2),
    )
    mean_D, probed_XD = acts[0].mean((0, 1)), acts[2].flatten(0, 1)
    norm = (acts[0] - mean_D).norm(dim=2).mean().item()
    sae = random_autoencoder(20, 64, mean_D=mean_D, norm=norm)
    weight_CD = normal(9, len(CLASSES), 64) / probed_XD.std(0)
    probe = LinearProbe(weight_CD, -(weight_CD @ probed_XD.mean(0)))
    latents_XS = sae(acts[0][:N_TRAIN].flatten(0, 1)).numpy()
    activity = Activity((latents_XS > 0).sum(0), latents_XS.max(0).astype(np.float64))
    active = np.flatnonzero(activity.is_active_S).tolist()
    chosen = [
        ChosenClass(
            label, CLASSES[label - 1], tuple(active[2 * label : 2 * label + 2]), ()
        )
        for label in (1, 2, 3)
    ]
    shape = LayerShape(16, 64, has_cls=False)
    attributes = encoder.attributes()
    with write_shard(
        tmp_path / "0-of-1.h5",
        *(labels.image_ids, dict.fromkeys((0, 2), shape), "float32", attributes),
        i_shard=0,
        n_shards=1,
    ) as shard:
        for layer, x_NPD in acts.items():
            shard.write(0, layer, x_NPD, None)
    write_patch_labels(tmp_path / "patch_labels.h5", labels, {})
    save_probe(tmp_path / "probe.safetensors", probe, {})
    save_directions(tmp_path / "directions.safetensors", normal(3, 4, 64).numpy(), {})
    write_family(tmp_path, {Run(20, 0): sae}, dataclasses.replace(TOY, layer=0))
    write_tables(tmp_path, chosen, activity)
    return Early(
        *(tmp_path, settings, encoder, pixels_NCHW, acts[0], labels, probe, sae),
        *(activity, chosen),
    )


def early_stage(early, **changes):
    arguments = {
        "probe_layer": 2,
        "layer": 0,
        "run": "k20-seed0",
        "encoder_cfg": early.settings,
        "cfg": EARLY,
    }
    return stage(early.folder, **{**arguments, **changes})


def hooked_logits(early, i_image, edit_PD):
    """Logits of an image through the whole encoder, with a hook that edits block 0."""
    (block, *_) = early.encoder.vision.transformer.resblocks

    def edit(_block, _args, tokens_BTD):
        edited_BTD = tokens_BTD.clone()
        edited_BTD[:, 1:] += edit_PD
        return edited_BTD

    hook = block.register_forward_hook(edit)
    encoded = early.encoder.encode(early.pixels_NCHW[i_image : i_image + 1], [2])
    hook.remove()
    return early.probe(encoded[2].patches_BPD[0])


def test_at_an_earlier_layer_the_rest_of_the_encoder_sees_the_edit(early):
    rows = read(early_stage(early))
    sae = early.autoencoder
    for one in early.chosen:
        latents = list(one.latents)
        for dose in EARLY.doses:
            counts = {"before": [], "after": []}
            for m, i_image in enumerate(early.labels.i_test_M):
                f_PS = sae(early.acts_NPD[i_image])
                set_PS = f_PS.clone()
                set_PS[:, latents] = torch.from_numpy(
                    dose * early.activity.largest_S[latents]
                ).float()
                edit_PD = sae.decode(set_PS) - sae.decode(f_PS)
                for when, e_PD in (("before", 0 * edit_PD), ("after", edit_PD)):
                    logits_PC = hooked_logits(early, i_image, e_PD)
                    mask_HW = early.labels.masks_MHW[m]
                    found = count_pixels(logits_PC.numpy()[None], mask_HW, (4, 4))
                    c = one.label - 1
                    true = (mask_HW == one.label).sum()
                    hit, predicted = found.hit_EC[0, c], found.predicted_EC[0, c]
                    counts[when].append((hit, true + predicted - hit))
            row = rows[
                (rows["label"] == str(one.label))
                & (rows["edit"] == "latents")
                & (rows["dose"] == f"{dose:g}")
            ].iloc[0]
            for when, pairs in counts.items():
                hit, union = np.sum(pairs, axis=0)
                assert float(row[f"iou_{when}"]) == pytest.approx(hit / union, abs=2e-3)
            assert (row["layer"], row["probe_layer"]) == ("0", "2")
    strong = rows[rows["dose"] == "-3"]
    assert (strong["changed_others"].astype(float) > 0).any()


def test_an_edit_of_nothing_leaves_the_logits_to_the_last_bit(early):
    paths = [early.folder / f"data/{i}.png" for i in range(N_TRAIN, N_IMAGES)]
    with torch.inference_mode():
        at = AtEarlierLayer(Tail(early.encoder, 0, 2), early.probe, paths)
        before_PC = at.before(1, early.acts_NPD[N_TRAIN + 1])
        prepared_EJD = at.prepare(normal(0, 20, 2, 64))
        coefficients_EPJ = normal(1, 20, 16, 2)
        coefficients_EPJ[[0, 7, 19]] = 0
        after_EPC = at.after(1, before_PC, prepared_EJD, coefficients_EPJ)
    is_same_E = (after_EPC == before_PC).all(-1).all(-1)
    assert np.flatnonzero(is_same_E).tolist() == [0, 7, 19]


def test_cores_change_no_byte_at_an_earlier_layer(early):
    one = with_threads(1, lambda: early_stage(early))
    first = [path.read_bytes() for path in sorted(one.iterdir())]
    two = with_threads(2, lambda: early_stage(early))
    assert [path.read_bytes() for path in sorted(two.iterdir())] == first


def test_another_encoder_than_the_one_that_recorded_is_refused(early):
    other = dataclasses.replace(early.settings, weights="random")
    with pytest.raises(
        ValueError,
        match=r"h5 was made with weights_digest \w+, but",
    ):
        early_stage(early, encoder_cfg=other)


def test_an_edit_after_the_probed_layer_is_refused(early):
    save_probe(early.folder / "probe.safetensors", early.probe, {})
    write_family(early.folder, {Run(20, 0): early.autoencoder})
    with pytest.raises(ValueError, match="the edited layer must come before"):
        early_stage(early, layer=2, probe_layer=0)


def test_a_probe_directions_or_an_autoencoder_of_another_encoder_is_refused(study):
    folder, scene = study
    other = {"encoder": "other"}
    directions = folder / "directions.safetensors"
    found = {"layer": LAYER, "found_for": other}
    save_directions(directions, probe_directions(scene.probe), found)
    with pytest.raises(ValueError, match="directions.safetensors was made with enco"):
        stage(folder)
    family = {Run(24, 0): scene.autoencoder}
    write_family(folder, family, fitted_to=other, layer=LAYER)
    with pytest.raises(ValueError, match="k24-seed0.safetensors was made with encoder"):
        stage(folder)
    sweep = {"trained_on": other, "layer": LAYER}
    save_probe(folder / "probe.safetensors", scene.probe, {"sweep": sweep})
    with pytest.raises(ValueError, match="probe.safetensors was made with encoder o"):
        stage(folder)
    assert not list((folder / "out").iterdir())


def test_an_autoencoder_of_another_family_is_refused(study):
    folder, scene = study
    other = dataclasses.replace(TOY, method="relu")
    write_family(folder, {Run(24, 0): scene.autoencoder}, other)
    with pytest.raises(ValueError, match="it says method relu, expected method toy"):
        stage(folder)


def test_a_killed_job_goes_on_with_the_class_it_had_not_finished(study, monkeypatch):
    folder, _ = study
    expected = {path.name: path.read_bytes() for path in stage(folder).iterdir()}
    n_counted = []
    count = suppress_module.count_changes

    def count_and_die(edits, *rest):
        n_counted.append(edits.label)
        if len(n_counted) == 2:
            raise KeyboardInterrupt
        return count(edits, *rest)

    for path in (folder / "out").iterdir():
        path.unlink()
    monkeypatch.setattr(suppress_module, "count_changes", count_and_die)
    with pytest.raises(KeyboardInterrupt):
        stage(folder)
    (kept,) = (folder / "out").iterdir()
    assert kept.name == "counts.h5.unfinished"
    # The class of the first job is not counted again, that of the second is.
    out = stage(folder)
    assert len(set(n_counted)) == len(n_counted) - 1
    assert n_counted[1] == n_counted[2]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected


def test_what_was_kept_of_other_data_is_counted_again(study, monkeypatch):
    folder, scene = study
    count = suppress_module.count_changes
    with monkeypatch.context() as patched:
        n_counted = []

        def count_and_die(*arguments):
            n_counted.append(1)
            if len(n_counted) == 3:
                raise KeyboardInterrupt
            return count(*arguments)

        patched.setattr(suppress_module, "count_changes", count_and_die)
        with pytest.raises(KeyboardInterrupt):
            stage(folder)
    assert len(list((folder / "out/counts.h5.unfinished").iterdir())) == 2
    # Half the activations, and what is recorded of their making is the same.
    write_shards(folder, scene.x_NPD / 2, 2)
    out = stage(folder)
    went_on = {path.name: path.read_bytes() for path in out.iterdir()}
    shutil.rmtree(out)
    assert {path.name: path.read_bytes() for path in stage(folder).iterdir()} == went_on


def test_damage_of_what_was_kept_is_named_and_deleting_it_helps(study, monkeypatch):
    folder, _ = study
    expected = {path.name: path.read_bytes() for path in stage(folder).iterdir()}
    (folder / "out/counts.h5").unlink()

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(suppress_latents.__globals__, "write_csv", die)
        with pytest.raises(KeyboardInterrupt):
            stage(folder)
    first, *_ = sorted((folder / "out/counts.h5.unfinished").iterdir())
    with h5py.File(first, "r+") as file:
        file["n_changed_KO"][0, 0] += 1
    with pytest.raises(ValueError, match=f"{first} is damaged .*: delete it, and run"):
        stage(folder)
    first.unlink()
    out = stage(folder)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == expected
