"""The later blocks, run again on edited tokens, are those of the encoder."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from recorded import with_threads

from vitproto.activations.encoder import EncoderSettings, load_encoder
from vitproto.core.project import PROJECT
from vitproto.segmentation.probes.linear_probe import LinearProbe
from vitproto.segmentation.suppression.class_directions import probe_directions
from vitproto.segmentation.suppression.encoder_tail import Tail, mean_class_gradients

CPU = torch.device("cpu")
DEMO = EncoderSettings(
    f"local-dir:{PROJECT / 'encoders/demo'}", "own", "hub", 64, 8, 64, 4
)
ENCODERS = {
    "native open_clip": DEMO,
    "registers": EncoderSettings(
        "timm:vit_small_patch14_reg4_dinov2", "lvd142m", "random", 56, 14, 384, 12
    ),
    "rotary positions and registers": EncoderSettings(
        "timm:vit_tiny_patch16_dinov3_qkvb", "eupe_lvd1689m", "random", 64, 16, 192, 12
    ),
    "rotary positions of each block": EncoderSettings(
        "timm:vit_small_patch16_rope_mixed_224", "naver_in1k", "random", 64, 16, 384, 12
    ),
    "no prefix": EncoderSettings(
        "ViT-B-16-SigLIP-256", "webli", "random", 256, 16, 768, 12
    ),
}
N_PIXELS = {name: settings.image_size for name, settings in ENCODERS.items()}


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def load(name):
    """An encoder whose blocks do something: fresh weights of timm hardly do."""
    encoder = load_encoder(ENCODERS[name], "float32", [0, 2])
    if ENCODERS[name].weights == "random":
        for seed, weight in enumerate(encoder.vision.parameters()):
            if weight.ndim == 2:
                weight.copy_(normal(seed, *weight.shape) / weight.shape[1] ** 0.5)
        for path, weight in encoder.vision.named_parameters():
            if ".gamma" in path:  # scales what a block adds
                weight.fill_(1)
    return encoder


def demo(layers=(1, 3)):
    encoder = load_encoder(DEMO, "float32", layers)
    return encoder, Tail(encoder, *layers)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_edit_of_zeros_gives_what_the_encoder_gives_to_the_last_bit(name):
    encoder = load(name)
    pixels_CHW = pixels(N_PIXELS[name])
    expected = encoder.encode(pixels_CHW[None], [0, 2])
    tail = Tail(encoder, 0, 2)
    captured = tail.capture(pixels_CHW)
    zeros_EPD = torch.zeros(1, encoder.n_patches, encoder.width)
    assert torch.equal(captured.patches_PD, expected[0].patches_BPD[0])
    assert torch.equal(captured.probed_PD, expected[2].patches_BPD[0])
    assert torch.equal(tail.replay(captured, zeros_EPD), expected[2].patches_BPD)
    assert torch.equal(tail(pixels_CHW, zeros_EPD), expected[2].patches_BPD)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "no prefix"])
def test_an_edit_reaches_all_patches_as_if_the_block_had_returned_it(name):
    encoder = load(name)
    edit_EPD = normal(1, 3, encoder.n_patches, encoder.width)
    edit_EPD[:, 1:] = 0  # of one patch only, and it changes the others
    tail, pixels_CHW = Tail(encoder, 0, 2), pixels(N_PIXELS[name])
    captured = tail.capture(pixels_CHW)
    edited_EPD = tail.replay(captured, edit_EPD)

    trunk = encoder.vision
    blocks = trunk.blocks if hasattr(trunk, "blocks") else trunk.transformer.resblocks
    for edit_PD, edited_PD in zip(edit_EPD, edited_EPD, strict=True):

        def add(_block, _args, tokens, edit_PD=edit_PD):
            prefix = torch.zeros(encoder.n_prefix, encoder.width)
            return tokens + torch.cat([prefix, edit_PD])

        hook = blocks[0].register_forward_hook(add)
        expected_PD = encoder.encode(pixels_CHW[None], [2])[2].patches_BPD[0]
        hook.remove()
        torch.testing.assert_close(edited_PD, expected_PD, rtol=1e-4, atol=1e-4)
        assert (edited_PD - captured.probed_PD)[1:].abs().amax(1).min() > 0.01


def test_tokens_that_come_first_by_place_are_replayed_too(monkeypatch):
    """Some towers of open_clip hand their blocks (token, image, value)."""
    encoder, tail = demo()
    edit_EPD = normal(2, 2, 64, 64)
    expected_EPD = tail(pixels(64), edit_EPD)
    monkeypatch.setattr(encoder.vision.transformer, "batch_first", False)
    for block in encoder.vision.transformer.resblocks:
        monkeypatch.setattr(block.attn, "batch_first", False)
    tail = Tail(encoder, 1, 3)
    captured = tail.capture(pixels(64))
    assert captured.tokens.shape == (65, 1, 64)
    torch.testing.assert_close(
        tail.replay(captured, edit_EPD), expected_EPD, rtol=1e-4, atol=1e-4
    )
    zeros_EPD = torch.zeros(1, 64, 64)
    assert torch.equal(tail.replay(captured, zeros_EPD)[0], captured.probed_PD)


def test_threads_that_share_a_tail_do_not_mix_their_images():
    _, tail = demo()
    edit_EPD = normal(2, 2, 64, 64)
    images = [pixels(64, seed) for seed in range(12)]

    def run(pixels_CHW):
        with torch.inference_mode():
            return tail(pixels_CHW, edit_EPD)

    def run_all():
        with ThreadPoolExecutor(4) as workers:
            return list(workers.map(run, images))

    together = with_threads(1, run_all)
    alone = with_threads(1, lambda: [run(image) for image in images])
    assert all(map(torch.equal, together, alone))


@pytest.mark.parametrize("layers", [(1, 1), (2, 1), (1, 4), (-1, 2)])
def test_a_probe_must_come_after_the_edit(layers):
    encoder = load_encoder(DEMO, "float32", [0])
    with pytest.raises(ValueError, match="it has layers 0 to 3, and the edited layer"):
        Tail(encoder, *layers)


def random_probe(n_classes=5, width=64):
    return LinearProbe(normal(3, n_classes, width), normal(4, n_classes))


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path in paths:
        image = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(image).resize((64, 64)).save(path)
    return paths


def labels_of(n_images=6, n_classes=4, seed=0):
    """Class 5 of the probe is never shown, class 4 by the last image only."""
    rng = np.random.default_rng(seed)
    labels_NP = rng.integers(0, n_classes, (n_images, 64)).astype(np.uint16)
    labels_NP[-1, :3] = n_classes
    return labels_NP


def scores(tail, probe, paths, labels_NP, added_D):
    """The mean score of each class over each image's patches, in float64."""
    score_NC = np.full((len(paths), probe.n_classes), np.nan)
    for i, path in enumerate(paths):
        pixels_CHW = torch.from_numpy(tail.encoder.preprocessing.read(path))
        edit_EPD = added_D.expand(1, tail.encoder.n_patches, -1)
        with torch.inference_mode():
            logits_PC = probe(tail(pixels_CHW, edit_EPD)[0]).double()
        score_PC = logits_PC - logits_PC.mean(1, keepdim=True)
        for c in range(probe.n_classes):
            if (labels_NP[i] == c + 1).any():
                score_NC[i, c] = score_PC[labels_NP[i] == c + 1, c].mean()
    return score_NC


def test_the_gradient_is_what_a_small_step_changes(files):
    _, tail = demo()
    probe, labels_NP = random_probe(), labels_of()
    found_CD = mean_class_gradients(tail, probe, files, labels_NP, 99, CPU)
    assert np.isnan(found_CD[4]).all()
    steps = torch.nn.functional.normalize(normal(5, 6, 64))
    for step_D in steps:
        up, down = (
            scores(tail, probe, files, labels_NP, sign * 0.02 * step_D)
            for sign in (1, -1)
        )
        # The mean over the images that show a class; the last class has none.
        expected_C = np.nanmean((up - down)[:, :4] / 0.04, axis=0)
        slope_C = found_CD[:4] @ step_D.numpy()
        np.testing.assert_allclose(slope_C, expected_C, rtol=0.01, atol=0.01)
    assert np.linalg.norm(found_CD[:4], axis=1).min() > 0.1


def test_through_blocks_that_do_nothing_it_is_the_probes_own_direction(
    files, monkeypatch
):
    encoder, tail = demo()
    for block in encoder.vision.transformer.resblocks[2:]:
        monkeypatch.setattr(block, "forward", lambda tokens, **_: tokens)
    probe = random_probe()
    found_CD = mean_class_gradients(tail, probe, files, labels_of(), 2, CPU)
    expected_CD = probe_directions(probe)
    np.testing.assert_allclose(found_CD[:4], expected_CD[:4], rtol=1e-4, atol=1e-5)


def test_the_probes_own_direction_is_its_weight_less_the_mean():
    probe = LinearProbe(torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.ones(2))
    np.testing.assert_array_equal(probe_directions(probe), [[0.5, -2], [-0.5, 2]])


def test_images_are_spread_evenly_over_those_that_show_the_class(files):
    _, tail = demo()
    probe = random_probe()
    labels_NP = np.zeros((6, 64), np.uint16)
    labels_NP[[0, 2, 3, 5], 7] = 1
    some_CD = mean_class_gradients(tail, probe, files, labels_NP, 2, CPU)
    # Of the four images the first and the third.
    labels_NP[[2, 5]] = 0
    same_CD = mean_class_gradients(tail, probe, files, labels_NP, 9, CPU)
    np.testing.assert_array_equal(some_CD, same_CD)


def test_cores_change_no_bit_of_the_gradients(files):
    kept = []
    for n_threads in (1, 2, 3):
        _, tail = demo()
        found_CD = with_threads(
            n_threads,
            lambda tail=tail: mean_class_gradients(
                tail, random_probe(), files, labels_of(), 4, CPU
            ),
        )
        kept.append(found_CD.tobytes())
    assert kept[0] == kept[1] == kept[2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_agrees_with_the_cpu(files, dtype):
    gpu = torch.device("cuda")
    _, tail = demo()
    edit_EPD = normal(2, 2, 64, 64)
    expected_EPD = tail(pixels(64), edit_EPD)
    expected_CD = mean_class_gradients(tail, random_probe(), files, labels_of(), 2, CPU)
    encoder = load_encoder(DEMO, dtype, [1, 3]).to(gpu)
    tail = Tail(encoder, 1, 3)
    captured = tail.capture(pixels(64).to(gpu))
    tolerance = 1e-2 if dtype == "float32" else 0.3
    edited_EPD = tail.replay(captured, edit_EPD.to(gpu)).cpu()
    torch.testing.assert_close(edited_EPD, expected_EPD, rtol=0.1, atol=tolerance)
    zeros_EPD = torch.zeros(1, 64, 64, device=gpu)
    torch.testing.assert_close(
        tail.replay(captured, zeros_EPD)[0],
        captured.probed_PD,
        rtol=1e-3,
        atol=1e-3,
    )
    found_CD = mean_class_gradients(tail, random_probe(), files, labels_of(), 2, gpu)
    cosine_C = (found_CD * expected_CD).sum(1) / (
        np.linalg.norm(found_CD, axis=1) * np.linalg.norm(expected_CD, axis=1)
    )
    assert cosine_C[:4].min() > 0.98
