"""Train the demo's encoder, a tiny vision transformer, on invented birds."""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from vitproto.core.files import whole_file
from vitproto.demo import encoder as demo_encoder
from vitproto.demo.encoder import Corpus, DemoEncoder
from vitproto.demo.encoder_corpus import draw_corpus
from vitproto.launch.cli import run
from vitproto.traits.average_precision import average_precision

N_PROTOTYPES = 512
N_TEST_SPECIES, N_TEST_IMAGES_PER_SPECIES = 50, 40


def train_demo_encoder(out: Path, *, cfg: DemoEncoder, n_workers: int) -> None:
    """Draw a corpus, train the demo's encoder on it, and test it.

    The test measures how well random patches of the training images find traits in
    images of unseen species, with the trained and with random weights.

    Args:
        out: folder for open_clip_config.json, open_clip_model.safetensors and
            settings.json; open_clip loads it as local-dir:OUT.
        cfg: architecture and training.
        n_workers: number of processes; the weights do not depend on it.
    """
    torch.set_num_threads(1)  # Sums grouped by thread would change with the machine.
    corpus = _draw(
        cfg, cfg.corpus_seed, (cfg.n_species, cfg.n_images_per_species), n_workers
    )
    trained = demo_encoder.train(cfg, corpus, _report)
    size = (N_TEST_SPECIES, N_TEST_IMAGES_PER_SPECIES)
    unseen = _draw(cfg, cfg.corpus_seed + 1, size, n_workers)
    results = {
        "loss": round(float(np.mean(trained.losses[-20:])), 4),
        "test_images": len(unseen.shows_NT) // 2,
        "n_prototypes": N_PROTOTYPES,
        "map_trained": _random_prototype_map(trained.model, corpus, unseen),
        "map_random_weights": _random_prototype_map(
            demo_encoder.build(cfg).eval(), corpus, unseen
        ),
        "map_chance": round(float(unseen.shows_NT[1::2].float().mean(0)[
            unseen.shows_NT[::2].any(0) & unseen.shows_NT[1::2].any(0)
        ].mean()), 3),
    }  # fmt: skip
    logging.info("results: %s", results)
    with whole_file(out / "open_clip_model.safetensors") as partial:
        save_file(trained.model.state_dict(), partial, {"format": "pt"})
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    _write_json(out / "open_clip_config.json", demo_encoder.open_clip_config(cfg))
    settings = {
        "settings": dataclasses.asdict(cfg),
        "torch": torch.__version__,
        "sha256": digest,
        "results": results,
    }
    _write_json(out / "settings.json", settings)


def _draw(cfg: DemoEncoder, seed: int, size: tuple[int, int], n_workers: int) -> Corpus:
    return draw_corpus(
        seed=seed,
        n_species=size[0],
        n_images_per_species=size[1],
        drawing_size=cfg.drawing_size,
        image_size=cfg.image_size,
        patch_size=cfg.patch_size,
        n_workers=n_workers,
    )


def _report(step: int, loss: float) -> None:
    if step % 50 == 0:
        logging.info("step %d: loss %.4f", step, loss)


def _random_prototype_map(
    model: torch.nn.Module, corpus: Corpus, unseen: Corpus
) -> float:
    """The mAP of random prototypes, chosen on the even test images, on the odd ones."""
    patches_XD = _activations(
        model, corpus.pixels_NCHW[:: len(corpus.pixels_NCHW) // 1000]
    )
    patches_XD = patches_XD.flatten(0, 1)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(patches_XD), generator=generator)[:N_PROTOTYPES]
    patches_NPD = _activations(model, unseen.pixels_NCHW)
    scores_NK = (patches_NPD @ patches_XD[chosen].T).amax(dim=1).numpy()
    shows_NT = unseen.shows_NT.numpy()
    shows_NT = shows_NT[:, shows_NT[::2].any(0) & shows_NT[1::2].any(0)]
    best_T = average_precision(scores_NK[::2], shows_NT[::2]).argmax(axis=0)
    ap_KT = average_precision(scores_NK[1::2], shows_NT[1::2])
    return round(float(ap_KT[best_T, np.arange(len(best_T))].mean()), 3)


@torch.inference_mode()
def _activations(model: torch.nn.Module, pixels_NCHW: torch.Tensor) -> torch.Tensor:
    parts = [demo_encoder.patch_activations(model, x) for x in pixels_NCHW.split(256)]
    return torch.cat(parts)


def _write_json(path: Path, content: dict) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    run(train_demo_encoder)
