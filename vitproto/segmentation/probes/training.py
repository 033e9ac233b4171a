"""Train the linear probes of a sweep together, on one stream of batches.

G probes, C classes, L labelled patches of a batch. Probes learn on scaled activations
z = (x - mean) / norm, with mean 0 and a mean norm of √D, so that learning rates mean
the same for every encoder. Trained probes take unscaled activations.
"""

import logging
import math
import time
from dataclasses import dataclass
from itertools import product
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.stream import Activations
from vitproto.core.bounds import (
    AtLeast,
    Count,
    Index,
    Items,
    NotNegative,
    Positive,
    check_bounds,
)
from vitproto.core.progress import progress_bar
from vitproto.core.stopping import StoppedError, told_to_stop
from vitproto.core.threads import one_core_each
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.held_out import split_training
from vitproto.segmentation.probes.linear_probe import LinearProbe, TrainedProbe
from vitproto.segmentation.probes.state import ProbeState

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""AdamW's defaults, from Loshchilov & Hutter (2019)."""

ROWS = 4096
"""Patches whose norms are measured at a time, in float64."""


@dataclass(frozen=True)
class ProbeSettings:
    """The linear probes, and how they are trained: one for each pair of learning rate
    and weight decay, all together."""

    learning_rates: Annotated[tuple[Positive, ...], Items(least=1, different=True)]
    """Learning rates of AdamW, constant."""
    weight_decays: Annotated[tuple[NotNegative, ...], Items(least=1, different=True)]
    """Weight decays of AdamW. A step shrinks weights, not biases, by the learning rate
    times this."""
    n_epochs: Count
    """Passes over the training patches."""
    batch_size: Count
    """Patches in a batch, labelled or not."""
    n_mixed: Count
    """Patches that are read and shuffled together. Twice as many are in memory."""
    n_scaling: Count
    """Training patches on which mean and norm of activations are measured, so that
    learning rates mean the same for every encoder. All are in memory at once."""
    held_out_every: Annotated[int, AtLeast(2)]
    """Every N-th training image is held out: no probe learns from it, and the probe
    that labels the patches of these images best is the one that is used."""
    seed: Index
    """Decides the order of patches. Probes start from zero."""

    def __post_init__(self) -> None:
        check_bounds(self)


class Scale(NamedTuple):
    """How activations are scaled: z = (x - mean) / norm."""

    mean_D: Float32[Tensor, " d"]
    norm: float

    def to(self, device: torch.device) -> "Scale":
        """Copy to `device`."""
        return Scale(self.mean_D.to(device), self.norm)

    def fold(
        self, weight_CD: Float[Tensor, "c d"], bias_C: Float[Tensor, " c"]
    ) -> LinearProbe:
        """The probe on x that has the same logits as these weights and biases on z."""
        raw_CD = weight_CD.double() / self.norm
        raw_C = bias_C.double() - raw_CD @ self.mean_D.double()
        return LinearProbe(raw_CD.float(), raw_C.float())


class Batch(NamedTuple):
    """The labelled patches of a batch."""

    z_LD: Float32[Tensor, "l d"]
    class_L: Int64[Tensor, " l"]
    """The classes of the patches, counted from 0."""


class Learners:
    """One or more probes in training, with their AdamW moments.

    Attributes:
        weight_GCD, bias_GC: weights and biases on z; they start at 0.
    """

    def __init__(
        self,
        rate_G: Float64[Tensor, " g"],
        decay_G: Float64[Tensor, " g"],
        n_classes: int,
        width: int,
        device: torch.device,
    ):
        """Start training; `rate_G` are learning rates, `decay_G` weight decays."""
        self.weight_GCD = torch.zeros(len(rate_G), n_classes, width, device=device)
        self.bias_GC = torch.zeros(len(rate_G), n_classes, device=device)
        self._rate_G1 = rate_G.float().to(device)[:, None]
        self._keep_G1 = (1 - rate_G * decay_G).float().to(device)[:, None]
        self._of_weights = _Moments.of(self.weight_GCD)
        self._of_biases = _Moments.of(self.bias_GC)
        self._step = torch.zeros((), dtype=torch.int64)

    @property
    def memory(self) -> tuple[Tensor, ...]:
        """All that a step changes: filled with earlier values, training goes on."""
        parameters = self.weight_GCD, self.bias_GC
        return (*parameters, *self._of_weights, *self._of_biases, self._step)

    def learn(self, batch: Batch) -> Float64[Tensor, " g"]:
        """Take one step; returns the mean cross-entropies before it."""
        gradient_GCL, loss_G = self._differentiate(batch)
        gradient_MD = gradient_GCL.flatten(0, 1) @ batch.z_LD
        self._step += 1
        self.weight_GCD.mul_(self._keep_G1[:, :, None])
        for parameter, gradient, moments, rate in (
            (
                *(self.weight_GCD, gradient_MD.view_as(self.weight_GCD)),
                *(self._of_weights, self._rate_G1[:, :, None]),
            ),
            (self.bias_GC, gradient_GCL.sum(2), self._of_biases, self._rate_G1),
        ):
            parameter -= moments.next_step(gradient, int(self._step)).mul_(rate)
        return loss_G

    def _differentiate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The gradient of each probe's loss with respect to its logits, and the losses.

        By formula, (softmax - one-hot) / L, which needs less memory than autograd.
        """
        n_probes, n_classes, _ = self.weight_GCD.shape
        weight_MD, bias_M1 = self.weight_GCD.flatten(0, 1), self.bias_GC.view(-1, 1)
        # Classes × patches, because this product is faster than patches × classes.
        logits_ML = torch.addmm(bias_M1, weight_MD, batch.z_LD.T)
        logits_GCL = logits_ML.view(n_probes, n_classes, -1)
        logits_GCL -= logits_GCL.amax(1, keepdim=True)
        own_G1L = batch.class_L.expand(n_probes, 1, -1)
        logit_G1L = logits_GCL.gather(1, own_G1L)
        exp_GCL = logits_GCL.exp_()
        total_G1L = exp_GCL.sum(1, keepdim=True)
        loss_G = (total_G1L.log() - logit_G1L).double().mean((1, 2))
        n_labelled = len(batch.class_L)
        gradient_GCL = exp_GCL.div_(total_G1L.mul_(n_labelled))
        share = gradient_GCL.new_full((1,), -1 / n_labelled).expand(own_G1L.shape)
        return gradient_GCL.scatter_add_(1, own_G1L, share), loss_G


class _Moments(NamedTuple):
    """AdamW's running means of a parameter's gradients and of their squares."""

    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, parameter: Tensor) -> "_Moments":
        return cls(torch.zeros_like(parameter), torch.zeros_like(parameter))

    def next_step(self, gradient: Tensor, step: int) -> Tensor:
        """The amount to subtract at a learning rate of 1; steps count from 1.

        Overwrites the gradient.
        """
        self.mean.lerp_(gradient, 1 - BETA_1)
        self.square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        root = torch.sqrt(self.square, out=gradient)
        root.div_(math.sqrt(1 - BETA_2**step)).add_(EPSILON)
        return torch.div(self.mean, root, out=root).div_(1 - BETA_1**step)


def train_probes(
    activations: Activations,
    labels: PatchLabels,
    cfg: ProbeSettings,
    device: torch.device,
    state: ProbeState,
) -> list[TrainedProbe]:
    """Train a probe for each learning rate and weight decay, all on the same batches.

    Training streams recorded activations; the encoder does not run. Memory holds the
    probes and their moments, two pools of `n_mixed` patches and a few batches, for data
    sets of any size. A killed training goes on from its last state, with the same
    result: on a CPU, bit for bit.

    On a CPU one core computes each probe's step, so the number of cores does not change
    a bit. A GPU computes all probes at once.

    Args:
        activations: of the images that `labels` list, in the same order.
        labels: the labels of the training patches; unlabelled patches are skipped, and
            so are held-out images.
        cfg: the probes to train.
        device: where to train.
        state: where the state is kept until all is done.

    Returns:
        The probes on the CPU: all weight decays of the first learning rate, then of the
        next.

    Raises:
        ValueError: there is no probe to train or no labelled patch, a loss is not
            finite, or the state is damaged.
        StoppedError: SIGTERM arrived; the state is saved.
    """
    learnt_N = split_training(labels, cfg.held_out_every).learnt_N
    if not labels.labels_NP[learnt_N].any():
        raise _nothing_labelled()
    pairs = list(product(cfg.learning_rates, cfg.weight_decays))
    rate_G, decay_G = torch.tensor(pairs, dtype=torch.float64).T
    n_at_once = 1 if device.type == "cpu" else len(pairs)
    learners = [
        Learners(rates, decays, labels.n_classes, activations.width, device)
        for rates, decays in zip(
            rate_G.split(n_at_once), decay_G.split(n_at_once), strict=True
        )
    ]
    scale = measure_scale(activations, learnt_N, cfg)
    loss_G = _train(
        *(learners, activations, labels, learnt_N, cfg, scale, pairs, device, state)
    )
    weight_GCD = torch.cat([each.weight_GCD.cpu() for each in learners])
    bias_GC = torch.cat([each.bias_GC.cpu() for each in learners])
    return [
        TrainedProbe(*pair, loss, scale.fold(weight_CD, bias_C))
        for pair, loss, weight_CD, bias_C in zip(
            pairs, loss_G, weight_GCD, bias_GC, strict=True
        )
    ]


def measure_scale(
    activations: Activations, learnt_N: Int64[np.ndarray, " n"], cfg: ProbeSettings
) -> Scale:
    """Measure the scaling to mean 0 and mean norm √D, on `n_scaling` patches.

    Raises:
        ValueError: all these patches are equal.
    """
    batches = RandomBatches(
        activations,
        batch_size=cfg.n_scaling,
        seed=cfg.seed,
        n_mixed=cfg.n_mixed,
        first_batch=0,
        images=learnt_N,
    )
    x_ND = next(iter(batches)).numpy()
    mean_D = x_ND.mean(axis=0, dtype=np.float64).astype(np.float32)
    total = 0.0
    for first in range(0, len(x_ND), ROWS):
        around_BD = (x_ND[first : first + ROWS] - mean_D).astype(np.float64)
        total += float(np.sqrt(np.square(around_BD).sum(axis=1)).sum())
    norm = total / len(x_ND) / math.sqrt(activations.width)
    if not norm > 0:
        raise ValueError(
            f"all {cfg.n_scaling} patches on which the scaling is measured are equal: "
            "check the recorded activations, or raise n_scaling"
        )
    return Scale(torch.from_numpy(mean_D), norm)


def _train(
    learners: list[Learners],
    activations: Activations,
    labels: PatchLabels,
    learnt_N: Int64[np.ndarray, " n"],
    cfg: ProbeSettings,
    scale: Scale,
    pairs: list[tuple[float, float]],
    device: torch.device,
    state: ProbeState,
) -> list[float]:
    """Train to the end; returns the mean loss of each probe in the last epoch."""
    n_patches = len(learnt_N) * activations.n_patches
    n_steps = max(1, cfg.n_epochs * n_patches // cfg.batch_size)
    n_last = -(-n_patches // cfg.batch_size)
    memory = [each.memory for each in learners]
    done = state.restore(memory)
    if done.step > 0:
        logging.info("continues after step %d of %d", done.step, n_steps)
    batches = RandomBatches(
        activations,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        n_mixed=cfg.n_mixed,
        first_batch=done.step,
        images=learnt_N,
    )
    label_M = labels.labels_NP.reshape(-1)
    on_device = scale.to(device)
    first_step = done.step
    started = saved = time.monotonic()
    with (
        one_core_each() as workers,
        progress_bar((n_steps - first_step) * cfg.batch_size, "patches") as progress,
        told_to_stop() as stopped,
    ):
        for step, (x_BD, place_B) in zip(
            range(first_step, n_steps), batches.with_places(), strict=False
        ):
            batch = workers.submit(
                _select, x_BD, label_M[place_B.numpy()], on_device
            ).result()
            progress.update(cfg.batch_size)
            if len(batch.class_L) > 0:
                losses = workers.map(Learners.learn, learners, [batch] * len(learners))
                loss_G = torch.cat(list(losses)).cpu().numpy()
                _check_finite(loss_G, pairs, step, n_steps)
                if step >= n_steps - n_last:
                    done.total_G += loss_G * len(batch.class_L)
                    done.n_counted += len(batch.class_L)
            done.step = step + 1
            if done.step == n_steps:
                break
            if stopped.is_set() or time.monotonic() - saved > state.save_every_s:
                state.write(done, memory)
                saved = time.monotonic()
            if stopped.is_set():
                raise StoppedError(
                    f"stopped at step {done.step} of {n_steps}; run again to continue"
                )
    if done.n_counted == 0:
        raise _nothing_labelled()
    seconds = time.monotonic() - started
    logging.info(
        "%d probes, %d steps in %.0f s, %.1f %% of the time waiting for data",
        *(len(pairs), n_steps - first_step, seconds),
        100 * batches.waited_s / max(seconds, 1e-9),
    )
    return (done.total_G / done.n_counted).tolist()


def _select(x_BD: Tensor, label_B: np.ndarray, scale: Scale) -> Batch:
    """The labelled patches, scaled."""
    row_L = torch.from_numpy(np.flatnonzero(label_B))
    class_L = torch.from_numpy(label_B.astype(np.int64)).index_select(0, row_L) - 1
    z_LD = x_BD.index_select(0, row_L).to(scale.mean_D.device)
    return Batch(
        z_LD.sub_(scale.mean_D).div_(scale.norm), class_L.to(scale.mean_D.device)
    )


def _nothing_labelled() -> ValueError:
    return ValueError(
        "no training patch has a label, so there is nothing to learn: look at the "
        "masks of the training images"
    )


def _check_finite(
    loss_G: np.ndarray, pairs: list[tuple[float, float]], step: int, n_steps: int
) -> None:
    """Refuse to continue with a probe that has diverged."""
    for (rate, decay), loss in zip(pairs, loss_G.tolist(), strict=True):
        if not math.isfinite(loss):
            raise ValueError(
                f"the probe with learning rate {rate:g} and weight decay {decay:g} "
                f"diverged: its loss is {loss} at step {step} of {n_steps}. Lower "
                "learning_rates"
            )
