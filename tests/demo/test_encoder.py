import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch

from vitproto.activations.torchvision_shim import import_open_clip
from vitproto.core.project import PROJECT
from vitproto.demo import encoder as demo_encoder
from vitproto.demo.encoder import (
    Corpus,
    DemoEncoder,
    patch_activations,
    region_counts,
)
from vitproto.demo.encoder_corpus import draw_corpus
from vitproto.traits.average_precision import average_precision

SHIPPED = PROJECT / "encoders" / "demo"

TINY = DemoEncoder(
    image_size=32,
    patch_size=8,
    width=16,
    n_layers=2,
    head_width=8,
    n_species=3,
    n_images_per_species=4,
    drawing_size=64,
    corpus_seed=900,
    batch_size=8,
    n_steps=3,
    n_warmup=1,
    learning_rate=1e-2,
    weight_decay=0.01,
    patch_weight=0.1,
    seed=0,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """These models are too small to share between threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return tiny_corpus(n_workers=1)


@pytest.fixture(scope="module")
def settings() -> dict:
    return json.loads((SHIPPED / "settings.json").read_text())


@pytest.fixture(scope="module")
def shipped() -> torch.nn.Module:
    open_clip = import_open_clip()
    return open_clip.create_model(f"local-dir:{SHIPPED}").eval()


def tiny_corpus(n_workers: int) -> Corpus:
    return draw_corpus(
        seed=TINY.corpus_seed,
        n_species=TINY.n_species,
        n_images_per_species=TINY.n_images_per_species,
        drawing_size=TINY.drawing_size,
        image_size=TINY.image_size,
        patch_size=TINY.patch_size,
        n_workers=n_workers,
    )


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_twice_gives_the_same_weights(corpus):
    before = torch.random.get_rng_state()
    first = demo_encoder.train(TINY, corpus)
    torch.rand(5)  # Whatever else draws random numbers must not matter.
    second = demo_encoder.train(TINY, corpus)
    assert first.losses == second.losses
    assert torch.equal(weights(first.model), weights(second.model))
    assert not torch.equal(weights(first.model), weights(demo_encoder.build(TINY)))
    torch.random.set_rng_state(before)


def test_another_seed_starts_from_other_weights_of_the_same_shape():
    one = demo_encoder.build(TINY).state_dict()
    other = demo_encoder.build(dataclasses.replace(TINY, seed=1)).state_dict()
    assert {n: p.shape for n, p in one.items()} == {
        n: p.shape for n, p in other.items()
    }
    name = "visual.conv1.weight"
    assert not torch.equal(one[name], other[name])


def test_training_lowers_the_loss(corpus):
    cfg = dataclasses.replace(TINY, n_steps=40)
    losses = demo_encoder.train(cfg, corpus).losses
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_corpus_does_not_depend_on_the_number_of_workers(corpus):
    for ours, theirs in zip(corpus, tiny_corpus(n_workers=2), strict=True):
        assert torch.equal(ours, theirs)


def test_every_patch_of_a_corpus_counts_each_of_its_pixels_once(corpus):
    assert (corpus.patches_NPR.sum(dim=2) == TINY.patch_size**2).all()
    n_traits = corpus.shows_NT.sum(dim=1)
    assert (n_traits > 20).all()  # A bird shows about one trait of each group.
    assert (n_traits < 70).all()


def test_regions_are_counted_patch_by_patch_row_by_row():
    regions_HW = np.array(
        [[1, 1, 2, 2], [1, 0, 2, 2], [0, 0, 1, 2], [0, 0, 2, 1]], np.uint8
    )
    counts_PR = region_counts(regions_HW, patch_size=2, n_regions=3)
    assert counts_PR.tolist() == [[1, 3, 0], [0, 0, 4], [4, 0, 0], [0, 2, 2]]


def test_the_shipped_weights_are_those_that_settings_json_describes(settings):
    file = SHIPPED / "open_clip_model.safetensors"
    assert file.stat().st_size < 1_000_000
    assert hashlib.sha256(file.read_bytes()).hexdigest() == settings["sha256"]
    cfg = DemoEncoder(**settings["settings"])
    config = json.loads((SHIPPED / "open_clip_config.json").read_text())
    assert config == demo_encoder.open_clip_config(cfg)


def test_the_shipped_encoder_loads_as_a_local_directory(shipped, settings):
    cfg = DemoEncoder(**settings["settings"])
    built = demo_encoder.build(cfg).state_dict()
    loaded = shipped.state_dict()
    assert {n: p.shape for n, p in built.items()} == {
        n: p.shape for n, p in loaded.items()
    }
    assert not torch.equal(weights(shipped), weights(demo_encoder.build(cfg)))
    pixels = torch.zeros(1, 3, cfg.image_size, cfg.image_size, dtype=torch.uint8)
    n_patches = (cfg.image_size // cfg.patch_size) ** 2
    with torch.inference_mode():
        assert patch_activations(shipped, pixels).shape == (1, n_patches, cfg.width)
    assert shipped.visual.preprocess_cfg["resize_mode"] == "squash"


def test_activations_are_the_last_blocks_output_without_the_class_token(shipped):
    seen = {}
    block = shipped.visual.transformer.resblocks[-1]
    hook = block.register_forward_hook(lambda *args: seen.update(tokens=args[2]))
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        patches_BPD = patch_activations(shipped, pixels)
        shipped.visual(pixels.float() / 127.5 - 1)
    hook.remove()
    assert torch.equal(patches_BPD, seen["tokens"][:, 1:])


def test_random_patches_find_traits_better_with_the_shipped_weights(shipped, settings):
    """On species that neither training nor the stage's own test has seen."""
    cfg = DemoEncoder(**settings["settings"])
    birds = draw_corpus(
        seed=cfg.corpus_seed + 500,
        n_species=24,
        n_images_per_species=12,
        drawing_size=96,
        image_size=cfg.image_size,
        patch_size=cfg.patch_size,
        n_workers=1,
    )
    shows_NT = birds.shows_NT.numpy()
    common_T = [t for t in range(312) if 0.1 < shows_NT[:, t].mean() < 0.6]
    plain = demo_encoder.build(cfg).eval()
    trained_map, random_map = (
        best_random_prototypes(model, birds.pixels_NCHW, shows_NT[:, common_T])
        for model in (shipped, plain)
    )
    assert len(common_T) > 40
    assert trained_map > random_map + 0.1, (trained_map, random_map)


def best_random_prototypes(model, pixels_NCHW, shows_NT) -> float:
    """Mean AP on the odd images, with prototypes chosen on the even ones."""
    with torch.inference_mode():
        patches_NPD = patch_activations(model, pixels_NCHW)
    generator = torch.Generator().manual_seed(0)
    flat_XD = patches_NPD[::2].flatten(0, 1)
    chosen = torch.randperm(len(flat_XD), generator=generator)[:256]
    scores_NK = (patches_NPD @ flat_XD[chosen].T).amax(dim=1).numpy()
    best_T = average_precision(scores_NK[::2], shows_NT[::2]).argmax(axis=0)
    ap_KT = average_precision(scores_NK[1::2], shows_NT[1::2])
    return float(ap_KT[best_T, np.arange(len(best_T))].mean())
