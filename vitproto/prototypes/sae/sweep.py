"""Train the autoencoders of a sweep together, over one stream of batches."""

import csv
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.stream import Activations
from vitproto.core.files import whole_file
from vitproto.core.progress import progress_bar
from vitproto.core.stopping import StoppedError, told_to_stop
from vitproto.core.threads import one_core_each
from vitproto.prototypes.sae.calibration import calibrate_thresholds
from vitproto.prototypes.sae.convergence import HELD_OUT_NMSE, measured_steps
from vitproto.prototypes.sae.cpu_gradients import Scratch
from vitproto.prototypes.sae.gradients import Weights
from vitproto.prototypes.sae.held_out_error import held_out_nmse, sample_held_out
from vitproto.prototypes.sae.learner import Learner, LossNotFiniteError, StepLog
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.states import States

N_LOGGED = 200
"""About how many steps a training log has: evenly spaced, those at which the held-out
error is measured, and the last one."""

LOG_COLUMNS = ("run", "step", "n_patches", *StepLog._fields, HELD_OUT_NMSE)
"""Columns of a training log."""

FAMILY_LOG_COLUMNS = ("encoder", "layer", "method", *LOG_COLUMNS)
"""Columns of the joined log of a family's runs."""

Observer = Callable[[str, int, StepLog], None]
"""Called at each logged step with the run's name, the patches seen, and the log."""


class TrainingLog:
    """The log of one run, a CSV file that grows while it trains."""

    def __init__(self, path: Path, run: str, n_steps: int):
        self.path = path
        self._run = run
        self._every = max(1, n_steps // N_LOGGED)
        self.measured = {*measured_steps(n_steps)}
        """The steps at which the held-out error is measured, the last one included."""

    def begin(self, step: int) -> None:
        """Continue after a step: drop the rows of later ones, which come again."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.reader(file)][1:]
        kept = [row for row in rows if len(row) == len(LOG_COLUMNS)]
        kept = [row for row in kept if int(row[1]) <= step]
        with whole_file(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([LOG_COLUMNS, *kept])

    def wants(self, step: int) -> bool:
        """Whether a step, counted from 1, is logged."""
        return step % self._every == 0 or step in self.measured

    def add(self, step: int, n_patches: int, log: StepLog, nmse: float | None) -> None:
        """Append a row; `nmse` is the held-out error, None if it was not measured."""
        values = (*log, "" if nmse is None else nmse)
        numbers = [f"{x:.7g}" if isinstance(x, float) else x for x in values]
        with self.path.open("a", newline="") as file:
            row = (self._run, step, n_patches, *numbers)
            csv.writer(file, lineterminator="\n").writerow(row)


def join_logs(
    logs: Sequence[Path], out: Path, *, encoder: str, layer: int, method: str
) -> None:
    """Join the logs of a family's runs.

    Studies share the logs of runs, so these do not name the family.

    Args:
        logs: the logs of the runs, in the order to write them.
        out: the CSV file to write.
        encoder: written to each row.
        layer: written to each row.
        method: written to each row.
    """
    with whole_file(out) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FAMILY_LOG_COLUMNS)
        for log in logs:
            with log.open(newline="") as own:
                _, *rows = csv.reader(own)
            writer.writerows([encoder, layer, method, *row] for row in rows)


def train(
    learners: Mapping[str, Learner],
    activations: Activations,
    image_N: Int64[np.ndarray, " n"],
    held_out_M: Int64[np.ndarray, " m"],
    settings: SaeSettings,
    *,
    states: States,
    device: torch.device,
    save_every_s: float,
    observe: Observer,
) -> None:
    """Train autoencoders to the end, starting from their last states.

    Those that have taken the same number of steps share their batches. The results are
    the same as if each trained alone.

    Args:
        learners: before their first step, by a key that identifies the run with all its
            settings, data and code. They are moved to `device` and trained in place.
        activations: the activations to learn from.
        image_N: the images to learn from.
        held_out_M: the images on which the log's held-out error is measured.
        settings: the settings of all learners.
        states: states and logs of this training, with those of earlier attempts.
        save_every_s: seconds between saved states.
        observe: called at each logged step.

    Raises:
        ValueError: a loss is not finite; the message names the last state.
        StoppedError: SIGTERM arrived; the state is saved.
    """
    for key, learner in learners.items():
        state = states.read(key)
        if state is not None:
            learner.restore(state)
            logging.info("%s continues at step %d", learner.run.name, learner.step)
        learner.to(device)
    steps = sorted({learner.step for learner in learners.values()})
    for step in steps:
        together = {
            k: learner for k, learner in learners.items() if learner.step == step
        }
        if step < settings.n_steps:
            _train_together(
                together,
                *(activations, image_N, held_out_M, settings, states, device),
                *(save_every_s, observe),
            )
    if settings.activation == "batchtopk":
        calibrate_thresholds(learners, activations, image_N, settings)


def _train_together(
    learners: Mapping[str, Learner],
    activations: Activations,
    image_N: np.ndarray,
    held_out_M: np.ndarray,
    settings: SaeSettings,
    states: States,
    device: torch.device,
    save_every_s: float,
    observe: Observer,
) -> None:
    first = next(iter(learners.values()))
    first_step, n_steps = first.step, settings.n_steps
    logs = {
        key: TrainingLog(states.log_path(key), learner.run.name, n_steps)
        for key, learner in learners.items()
    }
    for log in logs.values():
        log.begin(first_step)
    batches = RandomBatches(
        activations,
        batch_size=settings.batch_size,
        seed=settings.stream_seed,
        n_mixed=settings.n_mixed,
        first_batch=first_step,
        images=image_N,
    )
    scaling = first.scaling
    held_out_MD = sample_held_out(activations, held_out_M, scaling)
    scratch = Scratch()
    memory = {
        shape: Weights.like(learner.weights)
        for learner in learners.values()
        if (shape := learner.weights.W_enc_SD.shape)
    }
    started = saved = time.monotonic()
    n_patches = (n_steps - first_step) * settings.batch_size
    with (
        one_core_each() as workers,
        progress_bar(n_patches, "patches") as progress,
        told_to_stop() as stopped,
    ):
        for step, x_BD in zip(
            range(first_step + 1, n_steps + 1), batches, strict=False
        ):
            z_BD = workers.submit(_scale, x_BD.to(device), scaling).result()
            for key, learner in learners.items():
                try:
                    log = learner.learn(
                        z_BD, memory[learner.weights.W_enc_SD.shape], workers, scratch
                    )
                except LossNotFiniteError as error:
                    raise _diverged(error, states, key) from error
                if logs[key].wants(step):
                    nmse = None
                    if step in logs[key].measured:
                        nmse = held_out_nmse(learner, held_out_MD, workers)
                    logs[key].add(step, step * settings.batch_size, log, nmse)
                    observe(learner.run.name, step * settings.batch_size, log)
            progress.update(len(x_BD))
            states.beat()
            waited = batches.waited_s / (time.monotonic() - started)
            progress.set_postfix(waiting_for_data=f"{waited:.0%}", refresh=False)
            if step == n_steps:
                break
            if stopped.is_set() or time.monotonic() - saved > save_every_s:
                states.write(learners)
                saved = time.monotonic()
            if stopped.is_set():
                raise StoppedError(
                    f"stopped at step {step} of {n_steps}; run again to continue"
                )
    seconds = time.monotonic() - started
    logging.info(
        "%d autoencoders, %d steps in %.0f s: %s patches/s, %.1f %% of the time "
        "waiting for data",
        *(len(learners), n_steps - first_step, seconds),
        *(f"{n_patches / seconds:,.0f}", 100 * batches.waited_s / seconds),
    )


def _scale(x_BD: torch.Tensor, scaling) -> torch.Tensor:
    return x_BD.sub_(scaling.mean_D).div_(scaling.norm)


def _diverged(error: LossNotFiniteError, states: States, key: str) -> ValueError:
    state = states.read(key)
    kept = "no state was saved before"
    if state is not None:
        step = int(state["step"])
        kept = f"its last good state is of step {step}, below {states.root}"
    return ValueError(
        f"{error}; {kept}. Lower its learning_rate, or its method's max_gradient_norm"
    )
