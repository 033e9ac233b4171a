"""Train the sparse autoencoders of a sweep."""

import dataclasses
import logging
import shutil
import sys
from pathlib import Path

from vitproto.activations.training_images import open_training_images
from vitproto.core.device import pick_device
from vitproto.core.files import whole_file
from vitproto.freshness.code.fingerprint import fingerprint
from vitproto.launch.cli import run
from vitproto.prototypes import checkpoint
from vitproto.prototypes.sae import sweep
from vitproto.prototypes.sae.held_out import training_images
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.start import first_decoder, measure_scaling
from vitproto.prototypes.sae.tensorboard import observer
from vitproto.study.family import FittedFamily
from vitproto.study.run import Run


def fit_sae(
    shards: tuple[Path, ...],
    splits: Path,
    layer: int,
    runs: tuple[str, ...],
    store: Path,
    manifest: Path,
    log: Path,
    unfinished: Path,
    *,
    fit_dataset: str,
    encoder: str,
    method: str,
    held_out_every: int,
    device: str,
    save_every_s: float,
    tensorboard: bool,
    cfg: SaeSettings,
) -> None:
    """Train the sparse autoencoders of a sweep, all on one stream of batches.

    A killed run resumes from its last state, with the same result: on a CPU, bit for
    bit.

    Args:
        shards: all shards of the activations to train on.
        splits: the CSV file with their splits; test images are left out.
        layer: the block, from 0; repeated in each row of the log.
        runs: the runs to train, such as k512-lr0.001-sparsity32-seed0: 512 latents,
            learning rate 0.001, sparsity 32 (active latents, or the weight of the L1
            norm), initial weights by seed 0.
        store: the folder for the checkpoints; existing ones are kept.
        manifest: the JSON file that lists them.
        log: the CSV file of all runs' training logs.
        unfinished: the folder for states and logs during training.
        fit_dataset: the data set of these activations, for the list of checkpoints.
        encoder: repeated in each row of the log.
        method: repeated in each row of the log.
        held_out_every: every N-th training image is held out from training.
        device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one.
        save_every_s: seconds between states.
        tensorboard: whether to write logs for TensorBoard too, beside `log`.
        cfg: architecture and training of the autoencoders.
    """
    torch_device = pick_device(device)
    acts = open_training_images(shards, layer, splits)
    images = training_images(acts.n_images, held_out_every)
    settings = {
        **dataclasses.asdict(cfg),
        "held_out_every": held_out_every,
        "layer": layer,
        "fitted_to": acts.attributes,
        "code": fingerprint("fit_sae"),
    }
    made_by = {
        fit: {**settings, **dataclasses.asdict(fit)} for fit in map(Run.parse, runs)
    }
    fitted = {fit: checkpoint.stored_at(store, fit, made_by[fit]) for fit in made_by}
    missing = [
        fit
        for fit, path in fitted.items()
        if not checkpoint.is_stored(path, made_by[fit])
    ]
    logging.info(
        "%d of %d autoencoders are stored", len(fitted) - len(missing), len(fitted)
    )
    if missing:
        scaling = measure_scaling(acts, images, cfg)
        learners = {}
        for fit in missing:
            shape = (fit.n_prototypes, fit.seed)
            rows_SD = first_decoder(acts, images, cfg, scaling, *shape)
            learners[fitted[fit].stem] = Learner.begin(fit, cfg, scaling, rows_SD)
        states = sweep.States(unfinished)
        try:
            sweep.train(
                learners,
                *(acts, images, cfg),
                states=states,
                device=torch_device,
                save_every_s=save_every_s,
                observe=observer(log.parent / "tensorboard", tensorboard),
            )
        except sweep.StoppedError as stopped:
            sys.exit(f"fit_sae: {stopped}")
        for key, learner in learners.items():
            path = store / f"{key}.safetensors"
            if cfg.n_steps > 0:
                with whole_file(path.with_suffix(".csv"), shared=True) as partial:
                    shutil.copyfile(states.log_path(key), partial)
            checkpoint.save(path, learner.finish(), made_by[learner.run])
        states.forget(list(learners))
    is_trained = cfg.n_steps > 0
    logs = [path.with_suffix(".csv") for path in fitted.values()] if is_trained else []
    sweep.join_logs(logs, log, encoder=encoder, layer=layer, method=method)
    family = FittedFamily(fit_dataset, encoder, layer, method)
    checkpoint.write_manifest(manifest, fitted, family)


if __name__ == "__main__":
    run(fit_sae)
