"""Recorded activations are the blocks' outputs, of the encoder that was asked for."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.activations.recording import encode_files
from vitproto.activations.torchvision_shim import import_open_clip

TINY = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 3,
        "width": 64,
        "head_width": 32,
        "patch_size": 8,
    },
    "text_cfg": {
        "context_length": 4,
        "vocab_size": 8,
        "width": 16,
        "heads": 1,
        "layers": 1,
    },
}
PREPROCESS = {
    "size": 32,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
TIMM = EncoderSettings(
    model="timm:vit_small_patch14_reg4_dinov2",
    pretrained="lvd142m",
    weights="random",
    image_size=56,
    patch_size=14,
    width=384,
    n_blocks=12,
)
SIGLIP = EncoderSettings(
    model="ViT-B-16-SigLIP-256",
    pretrained="webli",
    weights="random",
    image_size=256,
    patch_size=16,
    width=768,
    n_blocks=12,
)


@pytest.fixture(scope="module")
def local_encoder(tmp_path_factory) -> EncoderSettings:
    """A tiny CLIP with weights of its own, as a folder of open_clip."""
    folder = tmp_path_factory.mktemp("tiny")
    config = {"model_cfg": TINY, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(7)
    model = import_open_clip().create_model(
        f"local-dir:{folder}", load_weights=False, pretrained_text=False
    )
    weights = {name: w.contiguous() for name, w in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return EncoderSettings(f"local-dir:{folder}", "own", "hub", 32, 8, 64, 3)


def pixels(size: int, n: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (n, 3, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def outputs_of_blocks(encoder, blocks, pixels_BCHW):
    """What the blocks return in a whole forward pass, caught by hooks."""
    caught = []
    hooks = [
        block.register_forward_hook(lambda _module, _args, out: caught.append(out))
        for block in blocks
    ]
    pre = encoder.preprocessing
    mean = torch.tensor(pre.mean).view(3, 1, 1)
    std = torch.tensor(pre.std).view(3, 1, 1)
    with torch.inference_mode():
        encoder.vision((pixels_BCHW.float() / 255 - mean) / std)
    for hook in hooks:
        hook.remove()
    return caught


def test_activations_of_a_clip_are_what_its_blocks_return(local_encoder):
    encoder = load_encoder(local_encoder, "float32", [0, 2])
    acts = encoder.encode(pixels(32), [2, 0])
    caught = outputs_of_blocks(
        encoder, encoder.vision.transformer.resblocks, pixels(32)
    )
    for layer in (0, 2):
        patches_BPD, cls_BD = acts[layer]
        assert torch.equal(patches_BPD, caught[layer][:, 1:])
        assert torch.equal(cls_BD, caught[layer][:, 0])
    assert (encoder.n_patches, encoder.width) == (16, 64)


def test_registers_are_neither_patches_nor_cls():
    encoder = load_encoder(TIMM, "float32", [1])
    patches_BPD, cls_BD = encoder.encode(pixels(56), [1])[1]
    caught = outputs_of_blocks(encoder, encoder.vision.blocks, pixels(56))[1]
    assert torch.equal(patches_BPD, caught[:, 5:])
    assert torch.equal(cls_BD, caught[:, 0])
    assert patches_BPD.shape[1] == encoder.n_patches == 16


def test_siglip_has_no_cls_and_its_random_control_its_preprocessing():
    encoder = load_encoder(SIGLIP, "float32", [0])
    assert encoder.encode(pixels(256, n=1), [0])[0].cls_BD is None
    assert encoder.preprocessing.resize_mode == "squash"
    assert encoder.preprocessing.mean == (0.5, 0.5, 0.5)


def test_a_local_file_of_weights_keeps_the_preprocessing_of_its_tag(tmp_path):
    """open_clip itself would preprocess as for OpenAI's weights."""
    control = load_encoder(SIGLIP, "float32", [0])
    open_clip = import_open_clip()
    torch.manual_seed(1)
    model = open_clip.create_model("ViT-B-16-SigLIP-256", pretrained_text=False)
    file = tmp_path / "siglip.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, file)
    local = dataclasses.replace(SIGLIP, weights=str(file))
    encoder = load_encoder(local, "float32", [0])
    assert encoder.preprocessing == control.preprocessing
    assert encoder.weights_digest() != control.weights_digest()
    for name, weight in encoder.vision.state_dict().items():
        assert torch.equal(weight, model.visual.state_dict()[name])


def test_random_weights_are_the_same_control_every_time(local_encoder):
    control = dataclasses.replace(local_encoder, weights="random")
    torch.manual_seed(3)
    first = load_encoder(control, "float32", [0]).weights_digest()
    torch.manual_seed(4)
    assert load_encoder(control, "float32", [0]).weights_digest() == first
    assert load_encoder(local_encoder, "float32", [0]).weights_digest() != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "ViT-L-99"}, "open_clip has no model 'ViT-L-99'"),
        ({"model": "ViT-B-32"}, "ViT-B-32 has no weights 'own': write one of openai"),
        ({"model": "timm:vit"}, "timm has no model and tag 'vit.own'"),
        ({"model": "local-dir:/gone"}, "cannot be loaded"),
        ({"width": 4}, "has tokens of width 64, not width: 4: write width: 64"),
        ({"n_blocks": 4}, "has 3 blocks, not n_blocks: 4: write n_blocks: 3"),
        ({"patch_size": 16}, "has patches of 8 × 8 pixels, not patch_size: 16"),
        ({"image_size": 64}, "takes images of 32 pixels, not image_size: 64"),
        (
            {"model": "ViT-B-32", "pretrained": "openai", "weights": "/gone.pt"},
            "the weights of ViT-B-32 are not at /gone.pt: set `weights`",
        ),
    ],
)
def test_an_encoder_that_cannot_be_had_says_what_to_write(
    local_encoder, change, message
):
    with pytest.raises(ValueError, match=".") as caught:
        load_encoder(dataclasses.replace(local_encoder, **change), "float32", [0])
    assert message in str(caught.value)


def test_a_patch_size_of_timm_that_is_not_the_model_s_is_refused():
    wrong = dataclasses.replace(TIMM, patch_size=8)
    with pytest.raises(ValueError, match="not patch_size: 8: write patch_size: 14"):
        load_encoder(wrong, "float32", [0])


def test_a_layer_that_the_encoder_lacks_is_refused(local_encoder):
    with pytest.raises(ValueError, match=r"has layers 0 to 2, not \[3\]"):
        load_encoder(local_encoder, "float32", [1, 3])


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_weights_that_the_hub_does_not_give_are_never_replaced_by_random_ones(
    local_encoder, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub = dataclasses.replace(local_encoder, model="hf-hub:nobody/nothing")
    with pytest.raises(ValueError, match="set its `weights` to a file"):
        load_encoder(hub, "float32", [0])


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        image = rng.integers(0, 256, (40 + i, 50, 3), np.uint8)
        Image.fromarray(image).save(path)
    return paths


def test_an_image_gives_the_same_bits_whatever_batch_and_threads(local_encoder, files):
    encoder = load_encoder(local_encoder, "float32", [1])
    cpu = torch.device("cpu")
    kept = {}
    for n_workers, n_threads in [(1, 1), (2, 2), (5, 1)]:
        torch.set_num_threads(n_threads)
        encoded = encode_files(
            files, encoder, [1], cpu, batch_size=n_workers, n_workers=n_workers
        )
        for i_first, acts in encoded:
            bits = acts[1].patches_BPD.numpy().tobytes()
            assert kept.setdefault(i_first, bits) == bits
        assert torch.get_num_threads() == n_threads
    assert sorted(kept) == list(range(7))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_agrees_with_the_cpu(local_encoder, files):
    encoder = load_encoder(local_encoder, "float32", [1])
    cpu = dict(
        encode_files(
            files, encoder, [1], torch.device("cpu"), batch_size=1, n_workers=1
        )
    )
    gpu = torch.device("cuda")
    batches = encode_files(files, encoder.to(gpu), [1], gpu, batch_size=3, n_workers=2)
    for i_first, acts in batches:
        for i, patches_PD in enumerate(acts[1].patches_BPD.cpu()):
            expected_PD = cpu[i_first + i][1].patches_BPD[0]
            torch.testing.assert_close(patches_PD, expected_PD, rtol=1e-3, atol=1e-3)
