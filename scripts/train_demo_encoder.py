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
from vitproto.demo import unseen_species
from vitproto.demo.encoder import DemoEncoder
from vitproto.launch.cli import run
from vitproto.traits.average_precision import average_precision


def train_demo_encoder(out: Path, *, cfg: DemoEncoder, n_workers: int) -> None:
    """Draw a corpus, train the demo's encoder on it, and test it.

    The test measures how well random patches of the training images find traits in
    images of unseen species, with the trained and with random weights.

    Args:
        out: The folder to write open_clip_config.json, open_clip_model.safetensors and
            settings.json to; open_clip loads it as local-dir:OUT.
        cfg: Architecture and training.
        n_workers: Number of processes; the weights do not depend on it.
    """
    torch.set_num_threads(1)  # Sums grouped by thread would change with the machine.
    corpus = unseen_species.draw_training(cfg, n_workers)
    trained = demo_encoder.train(cfg, corpus, _report)
    unseen = unseen_species.draw_unseen(cfg, n_workers)
    maps = {
        name: unseen_species.random_prototype_map(
            model, corpus, unseen, average_precision
        )
        for name, model in (
            ("map_trained", trained.model),
            ("map_random_weights", demo_encoder.build(cfg).eval()),
        )
    }
    results = {
        "loss": round(float(np.mean(trained.losses[-20:])), 4),
        "test_images": len(unseen.shows_NT) // 2,
        "n_prototypes": unseen_species.N_PROTOTYPES,
        **maps,
        "map_chance": unseen_species.chance_map(unseen),
    }
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


def _report(step: int, loss: float) -> None:
    if step % 50 == 0:
        logging.info("step %d: loss %.4f", step, loss)


def _write_json(path: Path, content: dict) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    run(train_demo_encoder)
