"""A file of weights is loaded exactly, or refused: never half, never ignored."""

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.fetched import Fetched, HubFile, write_fetched
from vitproto.activations.torchvision_shim import import_open_clip
from vitproto.activations.weights_file import read_weights

VISION = {"image_size": 32, "layers": 3, "width": 64, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 1, "layers": 1}
PREPROCESS = {
    "size": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
    "resize_mode": "longest",
}
TIMM = EncoderSettings(
    model="timm:vit_tiny_patch16_224",
    pretrained="augreg_in21k",  # with a classifier of 21,843 classes
    weights="random",
    image_size=32,
    patch_size=16,
    width=192,
    n_blocks=12,
)
TIMM_ON_HUB = dataclasses.replace(TIMM, weights="hub")


def config(vision=VISION):
    model = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}
    return json.dumps({"model_cfg": model, "preprocess_cfg": PREPROCESS})


def new_model(folder, seed, vision=VISION):
    """Weights by a seed, of an architecture that `folder` is made to describe."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(config(vision))
    torch.manual_seed(seed)
    return import_open_clip().create_model(
        f"local-dir:{folder}", load_weights=False, pretrained_text=False
    )


def tensors(module):
    return {name: w.contiguous() for name, w in module.state_dict().items()}


@pytest.fixture
def original(tmp_path):
    """A folder with weights of its own."""
    model = new_model(tmp_path / "original", seed=1)
    save_file(tensors(model), tmp_path / "original/open_clip_model.safetensors")
    folder = tmp_path / "original"
    return EncoderSettings(f"local-dir:{folder}", "own", "hub", 32, 8, 64, 3)


@pytest.fixture
def tuned(tmp_path):
    """The same architecture, trained on."""
    return new_model(tmp_path / "tuned", seed=2)


def fetched(settings, folder, **contents):
    """The same encoder with files as they are fetched from the hub."""
    files = []
    for name, content in contents.items():
        file = HubFile("us/tiny", "c" * 40, name, len(content), "")
        files.append(file)
        file.at(folder / "hub").parent.mkdir(parents=True, exist_ok=True)
        file.at(folder / "hub").write_bytes(content)
    listed = Fetched(settings.model, settings.pretrained, files)
    write_fetched(folder / "tiny.json", listed)
    return dataclasses.replace(
        settings, fetched=folder / "tiny.json", hub_cache=folder / "hub"
    )


@pytest.fixture
def on_hub(original, tmp_path):
    """The same as `original`, as it was fetched from the hub, without weights."""
    settings = dataclasses.replace(original, model="hf-hub:us/tiny")
    contents = {"open_clip_config.json": config().encode()}
    return fetched(settings, tmp_path, **contents)


def load(settings, file):
    return load_encoder(
        dataclasses.replace(settings, weights=str(file)), "float32", [0]
    )


def refusal(settings, file) -> str:
    with pytest.raises(ValueError, match=".") as caught:
        load(settings, file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_safetensors(model, path):
    save_file(tensors(model), path)


def as_image_tower(model, path):
    save_file(tensors(model.visual), path)


def as_training_checkpoint(model, path):
    state = {f"module.{name}": w for name, w in tensors(model).items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, path)


def as_bare_pickle(model, path):
    torch.save(tensors(model), path)


@pytest.mark.parametrize("place", ["original", "on_hub"])
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (as_safetensors, "whole.safetensors"),
        (as_image_tower, "tower.safetensors"),
        (as_training_checkpoint, "epoch_3.pt"),
        (as_bare_pickle, "weights.bin"),
    ],
)
def test_a_file_replaces_all_weights_and_keeps_the_preprocessing(
    tuned, tmp_path, request, place, write, name
):
    settings = request.getfixturevalue(place)
    write(tuned, tmp_path / name)
    encoder = load(settings, tmp_path / name)
    for key, weight in encoder.vision.state_dict().items():
        assert torch.equal(weight, tuned.visual.state_dict()[key]), key
    pre = encoder.preprocessing
    assert (pre.mean, pre.interpolation) == ((0.5, 0.4, 0.3), "bilinear")
    assert pre.resize_mode == "longest"


@pytest.mark.parametrize("name", ["junk.pt", "junk.safetensors", "junk.bin"])
def test_garbage_is_refused(original, on_hub, tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all" * 10)
    for settings in (original, on_hub):
        assert "is damaged or not a file of weights" in refusal(
            settings, tmp_path / name
        )


class Trap:
    """Would write a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(original, tmp_path):
    trap = {"visual.proj": Trap(tmp_path / "sprung")}
    torch.save(trap, tmp_path / "trap.pt")
    with (tmp_path / "bare.bin").open("wb") as file:
        pickle.dump(trap, file, protocol=2)
    for name in ("trap.pt", "bare.bin"):
        assert "is damaged or not a file of weights" in refusal(
            original, tmp_path / name
        )
    assert not (tmp_path / "sprung").exists()


def test_a_file_without_tensors_is_refused(original, tmp_path):
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "log.pt")
    assert "holds no tensors" in refusal(original, tmp_path / "log.pt")


def test_a_file_that_lacks_weights_names_some(original, tuned, tmp_path):
    state = tensors(tuned)
    for name in list(state):
        if name.startswith("visual.transformer.resblocks.2."):
            del state[name]
    save_file(state, tmp_path / "part.safetensors")
    said = refusal(original, tmp_path / "part.safetensors")
    # A block has 12 tensors: two norms, attention's projections, and an MLP.
    assert "it lacks transformer.resblocks.2.ln_1.weight, " in said
    assert " and 9 more: set the encoder's" in said


def test_weights_of_a_text_tower_alone_are_refused(original, tuned, tmp_path):
    state = {k: w for k, w in tensors(tuned).items() if not k.startswith("visual.")}
    save_file(state, tmp_path / "text.safetensors")
    assert "it lacks class_embedding, " in refusal(
        original, tmp_path / "text.safetensors"
    )


def test_weights_of_more_blocks_are_refused_and_not_cut(original, tmp_path):
    deeper = new_model(tmp_path / "deeper", 1, {**VISION, "layers": 4})
    save_file(tensors(deeper), tmp_path / "deeper.safetensors")
    said = refusal(original, tmp_path / "deeper.safetensors")
    assert "has transformer.resblocks.3.attn.in_proj_bias, " in said
    assert " and 9 more, which the model lacks: " in said


def test_weights_of_another_shape_are_refused_and_not_resampled(original, tmp_path):
    """open_clip itself would resample the positions of another grid."""
    larger = new_model(tmp_path / "larger", 1, {**VISION, "image_size": 64})
    save_file(tensors(larger), tmp_path / "larger.safetensors")
    said = refusal(original, tmp_path / "larger.safetensors")
    assert "its positional_embedding is 65 × 64, expected 17 × 64" in said


def test_a_file_for_a_plain_name_of_open_clip_must_fit_it(tuned, tmp_path):
    save_file(tensors(tuned), tmp_path / "tiny.safetensors")
    settings = EncoderSettings("ViT-B-32", "openai", "hub", 224, 32, 768, 12)
    said = refusal(settings, tmp_path / "tiny.safetensors")
    assert "does not fit ViT-B-32: it lacks transformer.resblocks.3.ln_1.weight" in said


def test_a_garbage_folder_of_open_clip_is_refused(original):
    folder = original.model.removeprefix("local-dir:")
    weights = Path(folder, "open_clip_model.safetensors")
    for content in (b"", b"junk" * 100, b"<!DOCTYPE html>"):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged or not a file of we") as said:
            load_encoder(original, "float32", [0])
        assert str(weights) in str(said.value)
        assert "network" not in str(said.value)


def test_weights_of_another_model_in_a_folder_of_open_clip_are_named(original):
    folder = original.model.removeprefix("local-dir:")
    weights = Path(folder, "open_clip_model.safetensors")
    save_file({"visual.proj": torch.ones(3, 3)}, weights)
    with pytest.raises(ValueError, match="does not fit") as said:
        load_encoder(original, "float32", [0])
    assert str(weights) in str(said.value)
    assert "\n" not in str(said.value)


def test_a_page_in_place_of_pickled_weights_is_not_said_to_be_safe(tmp_path):
    """PyTorch advises to read such a file with code in it."""
    page = tmp_path / "weights.pt"
    page.write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(ValueError, match="it is not a file of tensors") as said:
        read_weights(page)
    assert "weights_only" not in str(said.value)


@pytest.fixture(scope="module")
def tiny_timm():
    """A ViT of timm with its classifier, for its own size of images."""
    import_open_clip()
    import timm

    torch.manual_seed(5)
    return timm.create_model("vit_tiny_patch16_224", num_classes=7, img_size=32)


def test_a_file_for_timm_is_loaded_whole_whatever_its_classifier(tiny_timm, tmp_path):
    state = tensors(tiny_timm)
    headless = {k: w for k, w in state.items() if not k.startswith("head.")}
    save_file(state, tmp_path / "tuned.safetensors")
    save_file(headless, tmp_path / "headless.safetensors")
    torch.save({"model": headless}, tmp_path / "wrapped.pth")
    for name in ("tuned.safetensors", "headless.safetensors", "wrapped.pth"):
        encoder = load(TIMM, tmp_path / name)
        found = encoder.vision.state_dict()
        assert set(found) == set(headless)
        for key, weight in found.items():
            assert torch.equal(weight, state[key]), key


def test_a_file_that_does_not_fit_timm_s_model_is_refused(tiny_timm, tmp_path):
    """timm itself would leave what a file lacks at random."""
    state = tensors(tiny_timm)
    lacking = {k: w for k, w in state.items() if not k.startswith("blocks.11.")}
    foreign = {**state, "blocks.12.norm1.weight": torch.ones(192)}
    shape = {**state, "norm.weight": torch.ones(7)}
    finer = {**state, "patch_embed.proj.weight": torch.ones(192, 3, 8, 8)}
    said = {}
    for name, content in [
        *(("lacking", lacking), ("foreign", foreign)),
        *(("shape", shape), ("finer", finer), ("nothing", {"x": torch.ones(1)})),
    ]:
        save_file(content, tmp_path / f"{name}.safetensors")
        said[name] = refusal(TIMM, tmp_path / f"{name}.safetensors")
    assert "it lacks blocks.11.norm1.weight, blocks.11.norm1.bias, " in said["lacking"]
    assert "has blocks.12.norm1.weight, which the model lacks" in said["foreign"]
    assert "norm.weight" in said["shape"]
    assert "is for patches of 8 × 8 pixels, expected 16" in said["finer"]
    assert "it lacks cls_token, pos_embed, " in said["nothing"]


def test_fetched_weights_of_a_plain_name_are_loaded_with_its_preprocessing(
    tuned, tmp_path, monkeypatch
):
    open_clip = import_open_clip()
    model = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
    (tmp_path / "models").mkdir()
    (tmp_path / "models/tiny-plain.json").write_text(json.dumps(model))
    open_clip.add_model_config(tmp_path / "models")
    tag = {"hf_hub": "us/tiny/", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    tags = {"own": {**tag, "interpolation": "bilinear", "resize_mode": "squash"}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-plain", tags)
    settings = EncoderSettings("tiny-plain", "own", "hub", 32, 8, 64, 3)
    contents = {"open_clip_model.safetensors": save(tensors(tuned))}
    encoder = load_encoder(fetched(settings, tmp_path, **contents), "float32", [0])
    for key, weight in encoder.vision.state_dict().items():
        assert torch.equal(weight, tuned.visual.state_dict()[key]), key
    assert encoder.preprocessing.resize_mode == "squash"
    assert encoder.preprocessing.mean == (0.5, 0.5, 0.5)


def test_fetched_weights_of_timm_are_loaded_for_another_size_of_images(tmp_path):
    import_open_clip()
    import timm

    torch.manual_seed(6)
    name = "vit_tiny_patch16_224"
    state = tensors(timm.create_model(name, num_classes=21_843, img_size=64))
    contents = {"model.safetensors": save(state)}
    encoder = load_encoder(fetched(TIMM_ON_HUB, tmp_path, **contents), "float32", [0])
    found = encoder.vision.state_dict()
    assert found["pos_embed"].shape[1] == 1 + 4  # of 32 pixels, not 64
    for key in found.keys() - {"pos_embed"}:
        assert torch.equal(found[key], state[key]), key
    assert "state_dict" not in encoder.vision.pretrained_cfg


def test_a_list_of_another_encoder_is_refused(tmp_path):
    settings = fetched(TIMM_ON_HUB, tmp_path)
    other = dataclasses.replace(settings, pretrained="augreg_in21k_ft_in1k")
    with pytest.raises(ValueError, match="pass the list of this encoder"):
        load_encoder(other, "float32", [0])
