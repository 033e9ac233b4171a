"""Train the sparse autoencoders of a sweep."""

import sys
from dataclasses import asdict
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.core.stopping import StoppedError
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes.checkpoint import write_manifest
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.stored_sweep import (
    TrainingJob,
    train_missing,
    write_training_log,
)
from vitproto.prototypes.sae.tensorboard import observer
from vitproto.prototypes.store import look_up
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_sae(
    shards: tuple[Path, ...],
    splits: Path,
    store: Path,
    checkpoints: Path,
    training: Path,
    *,
    runs: tuple[str, ...],
    family: FittedFamily,
    held_out_every: int,
    tensorboard: bool,
    job: TrainingJob,
    cfg: SaeSettings,
) -> None:
    """Train the sparse autoencoders of a sweep, all on one stream of batches.

    A killed run resumes from its last state, with the same result: on a CPU, bit for
    bit.

    Args:
        shards: All shards of the activations to train on.
        splits: The CSV file with the splits of their images; test images are left out.
        store: The folder for the checkpoints; existing ones are kept.
        checkpoints: The JSON file to write, with a list of the checkpoints.
        training: The CSV file to write, with the training log of all runs.
        runs: The runs to train, such as k512-lr0.001-sparsity32-seed0: 512 latents,
            learning rate 0.001, sparsity 32 (active latents, or the weight of the L1
            norm), initial weights by seed 0.
        family: Which activations these are, for the list of checkpoints and the log.
        held_out_every: Every N-th training image is held out from training.
        tensorboard: Whether to write logs for TensorBoard too, beside `training`.
        job: Where training runs.
        cfg: Architecture and training of the autoencoders.
    """
    acts = open_training_images(shards, family.layer, splits)
    settings = {
        **asdict(cfg),
        "held_out_every": held_out_every,
        "layer": family.layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_sae"),
    }
    made_by = {fit: {**settings, **asdict(fit)} for fit in map(Run.parse, runs)}
    stored = look_up(store, made_by)
    observe = observer(training.parent / "tensorboard", tensorboard)
    try:
        train_missing(stored, acts, held_out_every, cfg, job, observe)
    except StoppedError as stopped:
        sys.exit(f"fit_sae: {stopped}")
    write_training_log(stored, training, family, cfg)
    write_manifest(checkpoints, stored.paths, family)


if __name__ == "__main__":
    run(fit_sae)
