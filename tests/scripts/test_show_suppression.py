"""The stage, on images with painted squares: suppression repaints one class alone."""

import base64
import dataclasses
import io
import json
import runpy

import numpy as np
import pytest
import torch
from autoencoders import identity_autoencoder
from flat_flags import call_flat
from PIL import Image
from recorded import LAYER, TOY, with_threads, write_shards
from suppression_rows import latent_row

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.preprocessing import Preprocessing
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.core.project import PROJECT
from vitproto.prototypes import checkpoint
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.labels.class_colors import UNLABELLED, class_colors
from vitproto.segmentation.labels.patch_labels import (
    PatchLabels,
    read_patch_labels,
    write_patch_labels,
)
from vitproto.segmentation.probes.linear_probe import (
    LinearProbe,
    load_probe,
    save_probe,
)
from vitproto.segmentation.suppression.pictures import SIDE
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run

show_suppression = runpy.run_path(str(PROJECT / "scripts/show_suppression.py"))[
    "show_suppression"
]

PREPROCESSING = Preprocessing(
    64, 64, "shortest", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
)
CLASSES = ["night", "red <b>", "blue", "green"]
"""What a patch of each colour shows, in the order of their labels."""
CHANNEL = {2: 0, 4: 1, 3: 2}
N_TRAIN, N_TEST = 2, 4
ENCODER = EncoderSettings("timm:none", "own", "random", 64, 16, 3, 1)
RUN = Run(3, 0)

SQUARES = {
    2: [(2, (0, 0)), (2, (1, 1)), (3, (3, 3))],
    3: [(3, (0, 1))],
    4: [(2, (2, 2))],
    5: [(2, (0, 3))],
}
"""Which test images show a patch of which label in which row and column."""


@pytest.fixture
def study(tmp_path):
    """A data set with its activations, the mean colours of patches, SAE and probe."""
    root, lines, x_NPD = tmp_path / "data", ["image_id,path"], []
    root.mkdir()
    masks, labels_NP = [], []
    for i in range(N_TRAIN + N_TEST):
        pixels_HWC = np.zeros((64, 96, 3), np.uint8)
        mask_HW = np.ones((64, 64), np.uint16)
        mask_HW[48:, :16] = 0  # a corner that nobody labelled
        for label, (row, column) in SQUARES.get(i, []):
            y, x = 16 * row, 16 * column
            pixels_HWC[y : y + 16, x + 16 : x + 32, CHANNEL[label]] = 255
            mask_HW[y : y + 16, x : x + 16] = label
        image = Image.fromarray(pixels_HWC)
        image.save(root / f"{i}.png")
        lines.append(f"image{i},{i}.png")
        window = np.asarray(PREPROCESSING.apply(image), np.float32) / 255
        x_NPD.append(window.reshape(4, 16, 4, 16, 3).mean((1, 3)).reshape(16, 3))
        labels_NP.append(mask_HW[::16, ::16].reshape(16))
        masks.append(mask_HW)
    (tmp_path / "images.csv").write_text("\n".join(lines) + "\n")
    is_train_N = np.arange(N_TRAIN + N_TEST) < N_TRAIN
    patch_labels = PatchLabels(
        image_ids=[f"image{i}" for i in range(N_TRAIN + N_TEST)],
        is_train_N=is_train_N,
        classes=CLASSES,
        labels_NP=np.stack(labels_NP).astype(np.uint16),
        purity_NP=np.ones((N_TRAIN + N_TEST, 16), np.float32),
        masks_MHW=np.stack(masks[N_TRAIN:]),
    )
    write_patch_labels(tmp_path / "patch_labels.h5", patch_labels, {})
    # A latent for red, green and blue each: what is suppressed is exactly known.
    autoencoder = SparseAutoencoder(
        W_enc_SD=torch.eye(3),
        b_enc_S=torch.zeros(3),
        W_dec_SD=torch.eye(3),
        b_dec_D=torch.zeros(3),
        mean_D=torch.zeros(3),
        norm=1.0,
        threshold_S=torch.zeros(3),
        l0=None,
    )
    file = tmp_path / f"{RUN.name}.safetensors"
    checkpoint.save(file, autoencoder, {})
    checkpoint.write_manifest(tmp_path / "checkpoints.json", {RUN: file}, TOY)
    weight_CD = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 0, 2], [0, 2, 0]])
    probe = LinearProbe(weight_CD, torch.tensor([1.0, 0, 0, 0]))
    save_probe(tmp_path / "probe.safetensors", probe, {})
    rows = [
        latent_row(1, "", name="night", note="no training patch of purity ≥ 0.9"),
        latent_row(2, 0, name="red <b>"),
        latent_row(3, 2, name="blue"),
        latent_row(4, 1, name="green"),
    ]
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    (tmp_path / "class_latents.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "latent_activity.csv").write_text(
        "latent,n_active,largest\n0,5,1.0\n1,0,0.5\n2,5,1.0\n"
    )
    return tmp_path, np.stack(x_NPD)


def files_of(folder):
    return {
        "root": folder / "data",
        "images": folder / "images.csv",
        "patch_labels": folder / "patch_labels.h5",
        "probe": folder / "probe.safetensors",
        "checkpoints": folder / "checkpoints.json",
        "class_latents": folder / "class_latents.csv",
        "activity": folder / "latent_activity.csv",
    }


def show(study, out="out", *, n_shards=1, classes=(2,), n_images=3, **changes):
    folder, x_NPD = study
    shards = write_shards(
        folder,
        x_NPD,
        n_shards,
        preprocessing=json.dumps(dataclasses.asdict(PREPROCESSING)),
    )
    arguments = {
        **files_of(folder),
        "dataset": "squares",
        "fit_dataset": "corpus",
        "encoder": "tiny",
        "probe_layer": LAYER,
        "layer": LAYER,
        "method": "toy",
        "run": RUN.name,
        "classes": classes,
        "n_images": n_images,
        "doses": (0.5, 0.0),
        "device": "cpu",
        "compute_dtype": "float32",
        "encoder_cfg": ENCODER,
    }
    files = {"shards": shards[::-1], "pictures": folder / out}
    call_flat(show_suppression, **files, **(arguments | changes))
    return folder / out


def panels(out, label=2, i_image=0, i_dose=-1):
    """The pictures of an image, 256 pixels wide: a window's pixel is 4 × 4 of them."""
    told = json.loads((out / "pictures.json").read_text())
    (shown,) = [one for one in told["classes"] if one["label"] == label]
    image = shown["images"][i_image]
    names = [image["window"], image["true"], image["before"], image["after"][i_dose]]
    pixels = []
    for name in names:
        with Image.open(out / name) as picture:
            assert picture.size == (image["width"], image["height"]) == (SIDE, SIDE)
            pixels.append(np.asarray(picture.convert("RGB")))
    data = base64.b64decode(image["heat"].removeprefix("data:image/png;base64,"))
    heat = Image.open(io.BytesIO(data)).convert("RGBA")
    return [*pixels, np.asarray(heat)[:, :, 3]]


def patch(panel, row, column):
    """The pixels of a patch."""
    return panel[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]


def colors_in(pixels):
    return {tuple(color) for color in pixels.reshape(-1, 3).tolist()}


def test_the_masks_have_the_colours_of_their_classes_at_known_pixels(study):
    image, true, before, after, _ = panels(show(study))
    night, red, blue, _ = (tuple(color) for color in class_colors(4).tolist())
    red_HW3 = patch(image, 0, 0)[16:-16, 16:-16].astype(int)
    assert np.abs(red_HW3 - (255, 0, 0)).max() < 8  # JPEG
    for row, column in ((0, 0), (1, 1)):
        assert colors_in(patch(true, row, column)) == {red}
        # Upsampled logits bend the edges, but not the middle.
        assert colors_in(patch(before, row, column)[24:40, 24:40]) == {red}
        assert colors_in(patch(after, row, column)) <= {night, blue}
    assert colors_in(patch(true, 2, 2)) == {night}
    assert colors_in(patch(true, 3, 0)) == set(UNLABELLED)
    # Blue is another class: it is found as before.
    for panel in (before, after):
        assert colors_in(patch(panel, 3, 3)[24:40, 24:40]) == {blue}
    assert red not in colors_in(after)
    assert (patch(before, 3, 3) == patch(after, 3, 3)).all()


def test_heat_lies_where_the_latent_is_active(study):
    alpha_HW = panels(show(study))[-1]
    assert alpha_HW.shape == (4, 4)
    assert [tuple(cell) for cell in np.argwhere(alpha_HW > 0)] == [(0, 0), (1, 1)]


def test_each_dose_has_a_mask_and_a_count_of_its_own(study):
    out = show(study, doses=(1.0, 0.6, 0.0))
    told = json.loads((out / "pictures.json").read_text())
    first = told["classes"][0]["images"][0]
    weak, middle, strong = first["n_found_after"]
    # A dose of 1 changes nothing. Red's logit is 2 × its value against 1 for night.
    assert weak == first["n_found_before"]
    assert weak >= middle > strong == 0
    kept, _, gone = (panels(out, i_dose=i)[3] for i in range(3))
    assert (kept == panels(out)[2]).all()
    _, red, *_ = (tuple(color) for color in class_colors(4).tolist())
    assert red in colors_in(kept)
    assert red not in colors_in(gone)
    assert told["settings"]["doses"] == [1.0, 0.6, 0.0]


def test_the_legend_holds_exactly_the_classes_of_the_pictures(study):
    told = json.loads((show(study, classes=(2, 3)) / "pictures.json").read_text())
    colors = ["#" + bytes(color).hex() for color in class_colors(4).tolist()]
    assert told["colors"] == {
        str(label): {"name": CLASSES[label - 1], "color": colors[label - 1]}
        for label in (1, 2, 3)
    }
    red, blue = told["classes"]
    shown = [image["labels"] for image in red["images"]]
    assert shown == [[0, 1, 2, 3], [0, 1, 2], [0, 1, 2]]
    assert [image["labels"] for image in blue["images"]] == [[0, 1, 2, 3], [0, 1, 3]]


def test_images_that_show_most_come_first_and_equal_ones_in_order(study):
    told = json.loads((show(study) / "pictures.json").read_text())
    (red,) = told["classes"]
    ids = [image["image_id"] for image in red["images"]]
    assert ids == ["image2", "image4", "image5"]
    first = red["images"][0]
    assert first["n_pixels"] == 2 * 16 * 16
    assert first["n_found_before"] > 2 * 8 * 8
    assert first["n_found_after"][-1] == 0
    assert red["highest"] == 1.0
    assert (red["latents"], red["largest"]) == ([0], [1.0])
    assert (told["method"], told["run"]) == ("toy", RUN.name)
    assert told["settings"]["doses"] == [0.5, 0.0]


def test_a_negative_dose_acts_on_all_patches(study):
    # Night's logit is 1. Set to -2, red takes 4 from red's logit everywhere, no other.
    after = panels(show(study, doses=(-2.0,), n_images=1))[3]
    night, _, blue, _ = (tuple(color) for color in class_colors(4).tolist())
    assert colors_in(after) == {night, blue}


def test_classes_without_latents_or_images_are_told_and_have_no_picture(study, caplog):
    with caplog.at_level("INFO"):
        out = show(study, classes=(1, 2, 4))
    night, _, green = json.loads((out / "pictures.json").read_text())["classes"]
    assert night["note"] == "no training patch of purity ≥ 0.9"
    assert green["note"] == "not in the validation images"
    assert night["images"] == green["images"] == []
    assert not list(out.glob("*class1*")) + list(out.glob("*class4*"))
    assert "no picture of 4 green: not in the validation images" in caplog.text
    assert "1 of 3 classes shown" in caplog.text


def test_shards_and_cores_change_no_byte(study):
    one = show(study, "one", classes=(2, 3))
    five = with_threads(3, lambda: show(study, "five", n_shards=5, classes=(2, 3)))
    assert len(list(one.iterdir())) > 10
    for file in one.iterdir():
        assert (five / file.name).read_bytes() == file.read_bytes()


def test_a_class_that_does_not_exist_is_refused(study):
    with pytest.raises(ValueError, match="label 5 is to be shown, but .* 1 to 4"):
        show(study, classes=(5,))
    assert not [path for path in study[0].iterdir() if "out" in path.name]


def test_latents_that_are_never_active_are_told(study):
    folder, _ = study
    table = folder / "latent_activity.csv"
    table.write_text(table.read_text().replace("2,5,1.0", "2,0,0.0"))
    told = json.loads((show(study, classes=(3,)) / "pictures.json").read_text())
    assert told["classes"][0]["note"] == "its latents are never active"


# At an earlier layer --------------------------------------------------------------


EARLY, PROBED = 1, 3
DEMO = EncoderSettings(
    f"local-dir:{PROJECT / 'encoders/demo'}", "own", "hub", 64, 8, 64, 4
)


@pytest.fixture
def encoded(study):
    """The same images seen by a real encoder, with a probe of a later layer."""
    folder, _ = study
    encoder = load_encoder(DEMO, "float32", (EARLY, PROBED))
    paths = [folder / f"data/{i}.png" for i in range(N_TRAIN + N_TEST)]
    pixels = [encoder.preprocessing.read(path) for path in paths]
    layers = encoder.encode(torch.from_numpy(np.stack(pixels)), (EARLY, PROBED))
    n_patches, width = layers[EARLY].patches_BPD.shape[1:]
    shard = folder / "encoded.h5"
    with write_shard(
        shard,
        [f"image{i}" for i in range(N_TRAIN + N_TEST)],
        dict.fromkeys((EARLY, PROBED), LayerShape(n_patches, width, has_cls=False)),
        "float32",
        encoder.attributes(),
        i_shard=0,
        n_shards=1,
    ) as file:
        for layer, acts in layers.items():
            file.write(0, layer, acts.patches_BPD, None)
    side = 64 // round(n_patches**0.5)
    old = read_patch_labels(folder / "patch_labels.h5")
    labels_NP = np.ones((N_TRAIN + N_TEST, n_patches), np.uint16)
    labels_NP[N_TRAIN:] = old.masks_MHW[:, ::side, ::side].reshape(N_TEST, n_patches)
    new = dataclasses.replace(
        old, labels_NP=labels_NP, purity_NP=np.ones(labels_NP.shape, np.float32)
    )
    write_patch_labels(folder / "patch_labels.h5", new, {})
    # It tells red from the rest by the mean activations of the patches that show it.
    x_XD = layers[PROBED].patches_BPD.flatten(0, 1)
    is_red_X = torch.from_numpy(labels_NP.ravel() == 2)
    red_D = x_XD[is_red_X].mean(0) - x_XD[~is_red_X].mean(0)
    middle = (x_XD[is_red_X].mean(0) + x_XD[~is_red_X].mean(0)) @ red_D / 2
    weight_CD = torch.stack([torch.zeros(width), red_D, *torch.zeros(2, width)])
    bias_C = torch.tensor([0.0, -middle.item(), -1e6, -1e6])
    save_probe(folder / "probe.safetensors", LinearProbe(weight_CD, bias_C), {})
    x_XD = layers[EARLY].patches_BPD.flatten(0, 1)
    early_D = x_XD[is_red_X].mean(0) - x_XD[~is_red_X].mean(0)
    autoencoder = identity_autoencoder(width)
    rows_SD = torch.stack([early_D / early_D.norm(), *torch.eye(width)[:2]])
    planted = dataclasses.replace(
        autoencoder,
        **{"W_enc_SD": rows_SD, "W_dec_SD": rows_SD.clone()},
        **{"b_enc_S": torch.zeros(3), "threshold_S": torch.zeros(3)},
        mean_D=x_XD[~is_red_X].mean(0),
    )
    file = folder / f"{RUN.name}.safetensors"
    checkpoint.save(file, planted, {})
    family = FittedFamily("corpus", "tiny", EARLY, "planted")
    checkpoint.write_manifest(folder / "checkpoints.json", {RUN: file}, family)
    largest = float(planted(x_XD)[:, 0].max())
    (folder / "latent_activity.csv").write_text(
        f"latent,n_active,largest\n0,5,{largest}\n1,5,1.0\n2,5,1.0\n"
    )
    return folder, shard


def show_encoded(folder, shard, out, **changes):
    arguments = {
        **files_of(folder),
        "dataset": "squares",
        "fit_dataset": "corpus",
        "encoder": "tiny",
        "probe_layer": PROBED,
        "layer": EARLY,
        "method": "planted",
        "run": RUN.name,
        "classes": (2,),
        "n_images": 3,
        "doses": (-2.0,),
        "device": "cpu",
        "compute_dtype": "float32",
        "encoder_cfg": DEMO,
    }
    files = {"shards": (shard,), "pictures": folder / out}
    call_flat(show_suppression, **files, **(arguments | changes))
    return json.loads((folder / out / "pictures.json").read_text())["classes"][0]


def test_at_an_earlier_layer_the_blocks_after_it_see_the_edit(encoded):
    edited = show_encoded(*encoded, "edited")
    for image in edited["images"]:
        assert image["n_found_before"] > 0.5 * image["n_pixels"]
        assert image["n_found_after"][0] < 0.2 * image["n_found_before"]


def test_an_encoder_with_other_weights_is_refused(encoded):
    other = dataclasses.replace(DEMO, weights="random")
    with pytest.raises(ValueError, match=r"h5 was made with weights_digest \w+, but"):
        show_encoded(*encoded, "other", encoder_cfg=other)


def test_a_probe_or_an_autoencoder_of_another_encoder_is_refused(encoded):
    folder = encoded[0]
    probe = load_probe(folder / "probe.safetensors")
    other = {"encoder": "another", "weights_digest": "aa"}
    file = folder / f"{RUN.name}.safetensors"
    settings = {"fitted_to": other, "layer": EARLY}
    checkpoint.save(file, checkpoint.load(file), settings)
    family = FittedFamily("corpus", "tiny", EARLY, "planted")
    checkpoint.write_manifest(folder / "checkpoints.json", {RUN: file}, family)
    with pytest.raises(ValueError, match="-seed0.safetensors was made with weights"):
        show_encoded(*encoded, "other")
    sweep = {"trained_on": other, "layer": PROBED}
    save_probe(folder / "probe.safetensors", probe, {"sweep": sweep})
    with pytest.raises(ValueError, match="probe.safetensors was made with weights"):
        show_encoded(*encoded, "other")
    assert not (folder / "other").exists()


def test_an_autoencoder_of_another_family_is_refused(study):
    with pytest.raises(ValueError, match="says fit_dataset corpus, expected fit_datas"):
        show(study, fit_dataset="inat21")
