"""Train those autoencoders of a sweep that a folder of checkpoints lacks."""

import logging
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from vitproto.activations.stream import Activations
from vitproto.core.device import pick_device
from vitproto.core.files import whole_file
from vitproto.prototypes.sae import sweep
from vitproto.prototypes.sae.convergence import read_convergence
from vitproto.prototypes.sae.held_out import held_out_images, training_images
from vitproto.prototypes.sae.learner import Learner
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.start import first_decoder, measure_scaling
from vitproto.prototypes.sae.states import States
from vitproto.prototypes.store import Stored
from vitproto.study.family import FittedFamily


@dataclass(frozen=True)
class TrainingJob:
    """Where training runs, and what it keeps for the case that it is killed."""

    unfinished: Path
    """The folder for states and logs while training goes on."""
    save_every_s: float
    """Seconds between states."""
    device: str
    """The device: auto, cpu, cuda or cuda:1; auto uses a GPU if there is one."""


def train_missing(
    stored: Stored,
    acts: Activations,
    held_out_every: int,
    cfg: SaeSettings,
    job: TrainingJob,
    observe: sweep.Observer,
) -> None:
    """Train the autoencoders that are missing, from their last states on.

    The training log of each lies beside its checkpoint.

    Args:
        stored: the autoencoders of the sweep.
        acts: what to learn from.
        held_out_every: every N-th image is held out: the log's held-out error is
            measured on these.
        cfg: what the autoencoders are and how they learn.
        job: where to train, and where to keep states.
        observe: called at each logged step.

    Raises:
        ValueError: a loss is not finite, a state is damaged, or there are too few
            images to hold one out.
        StoppedError: SIGTERM came; the state is kept.
    """
    image_N = training_images(acts.n_images, held_out_every)
    held_out_M = held_out_images(acts.n_images, held_out_every)
    device = pick_device(job.device)
    n_runs = len(stored.paths)
    logging.info(
        "%d of %d autoencoders are stored", n_runs - len(stored.missing), n_runs
    )
    if not stored.missing:
        return
    scaling = measure_scaling(acts, image_N, cfg)
    learners = {}
    for fit in stored.missing:
        shape = (fit.n_prototypes, fit.seed)
        rows_SD = first_decoder(acts, image_N, cfg, scaling, *shape)
        learner = Learner.begin(fit, cfg, scaling, rows_SD)
        learners[stored.paths[fit].stem] = learner
    states = States(job.unfinished)
    sweep.train(
        learners,
        *(acts, image_N, held_out_M, cfg),
        states=states,
        device=device,
        save_every_s=job.save_every_s,
        observe=observe,
    )
    for key, learner in learners.items():
        if cfg.n_steps > 0:
            _say_how_it_ended(states.log_path(key))
            log = stored.paths[learner.run].with_suffix(".csv")
            with whole_file(log) as partial:
                shutil.copyfile(states.log_path(key), partial)
        stored.save(learner.run, learner.finish())
    states.forget(list(learners))


def _say_how_it_ended(log: Path) -> None:
    for run, ended in read_convergence(log).items():
        if math.isnan(ended.nmse_slope):
            logging.info("%s: too few steps to say whether it still improved", run)
            continue
        logging.info(
            "%s: the held-out NMSE changed by %+.1f %% over the last quarter of %s "
            "patches: %s",
            *(run, 100 * ended.nmse_slope, f"{ended.n_trained_patches:,}"),
            "still improving" if ended.is_improving else "no longer improving",
        )


def write_training_log(
    stored: Stored, out: Path, family: FittedFamily, cfg: SaeSettings
) -> None:
    """Write the training logs of a sweep to one CSV file, as read from its folder.

    It has no rows where autoencoders are not trained.
    """
    is_trained = cfg.n_steps > 0
    paths = stored.paths.values()
    logs = [path.with_suffix(".csv") for path in paths] if is_trained else []
    place = {"encoder": family.encoder, "layer": family.layer, "method": family.method}
    sweep.join_logs(logs, out, **place)
