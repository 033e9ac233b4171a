"""Training state of an autoencoder: weights, Adam moments, dead latents.

step.py shows what a step does; this file runs it with the fast functions.
"""

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.sae import adam, cpu_gradients, gradients
from vitproto.prototypes.sae.gradients import Weights
from vitproto.prototypes.sae.objective import Objective
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.study.run import Run

FIRST_THRESHOLD = 0.001
"""The thresholds of JumpReLU before the first step (Rajamanoharan et al. 2024)."""


class Scaling(NamedTuple):
    """How raw activations are scaled: z = (x - mean) / norm."""

    mean_D: Float[Tensor, " d"]
    norm: float
    centre_D: Float[Tensor, " d"]
    """The mean of z; 0 if the mean is subtracted."""

    def to(self, device: torch.device) -> "Scaling":
        """Copy to `device`."""
        return Scaling(self.mean_D.to(device), self.norm, self.centre_D.to(device))


class StepLog(NamedTuple):
    """A row of the training log: one step."""

    learning_rate: float
    sparsity: float
    """The weight of the L1 norm at this step, or the number of active latents asked
    for."""
    loss: float
    mse: float
    """The squared error of all latents together, summed over dimensions, mean over the
    batch, in units of z."""
    sparsity_loss: float
    aux_loss: float
    l0: float
    n_dead: int
    gradient_norm: float


class LossNotFiniteError(ValueError):
    """The loss or its gradient is NaN or infinite: training diverged."""


@dataclass
class Learner:
    """One autoencoder of a sweep."""

    run: Run
    settings: SaeSettings
    scaling: Scaling
    weights: Weights
    moments: adam.Moments
    last_active_S: Int64[Tensor, " s"]
    """How many patches had been seen when each latent was last active."""
    step: int
    """Steps taken."""

    @classmethod
    def begin(
        cls,
        run: Run,
        settings: SaeSettings,
        scaling: Scaling,
        rows_SD: Float[Tensor, "s d"],
    ) -> "Learner":
        """An autoencoder before its first step.

        Args:
            rows_SD: the directions of the decoder's and the encoder's rows.
        """
        W_dec_SD = torch.nn.functional.normalize(rows_SD, dim=1).contiguous()
        weights = Weights(
            W_enc_SD=settings.encoder_start * W_dec_SD,
            b_enc_S=torch.zeros(len(W_dec_SD)).to(W_dec_SD),
            W_dec_SD=W_dec_SD,
            b_dec_D=scaling.centre_D.clone(),
            threshold_S=torch.zeros(len(W_dec_SD)).to(W_dec_SD),
        )
        if settings.activation == "jumprelu":
            weights.threshold_S.fill_(FIRST_THRESHOLD)
        return cls(
            run=run,
            settings=settings,
            scaling=scaling,
            weights=weights,
            moments=adam.Moments.of(weights),
            last_active_S=torch.zeros(len(W_dec_SD), dtype=torch.int64),
            step=0,
        )

    def learn(
        self,
        z_BD: Float[Tensor, "b d"],
        memory: Weights,
        workers: Executor,
        scratch: cpu_gradients.Scratch,
    ) -> StepLog:
        """Take one step, as step.py shows it.

        Args:
            z_BD: a scaled batch, on the device of the weights.
            memory: for the gradients; overwritten.
            workers: from `one_core_each`; used on CPUs.
            scratch: used on CPUs.

        Raises:
            LossNotFiniteError: loss or gradient is not finite; no weight has changed.
        """
        settings, step = self.settings, self.step
        n_seen = step * settings.batch_size
        is_dead_S = n_seen - self.last_active_S > settings.n_until_dead
        objective = self.objective()
        arguments = (self.weights, z_BD, objective, is_dead_S, memory)
        if z_BD.is_cuda:
            measured = gradients.compute_gradients(*arguments)
        else:
            measured = cpu_gradients.compute_gradients(*arguments, workers, scratch)
        loss = (
            sum(measured.mse_M) / len(measured.mse_M)
            + objective.sparsity_loss(measured.l0, measured.l1)
            + objective.aux_weight * measured.aux_loss
        )
        norm = adam.gradient_norm(
            self.weights,
            memory,
            freeze_decoder=settings.trains == "encoder",
            workers=workers,
        )
        rate = settings.learning_rate(self.run.learning_rate, step)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise LossNotFiniteError(
                f"{self.run.name}: at step {step} of {settings.n_steps} the loss is "
                f"{loss} and its gradient's norm {norm}, with a learning rate of "
                f"{rate:g}"
            )
        adam.update(
            self.weights,
            memory,
            self.moments,
            step=step,
            learning_rate=rate,
            shrink=min(1.0, settings.max_gradient_norm / max(norm, 1e-30)),
            workers=workers,
        )
        self.last_active_S[measured.active_S] = n_seen + settings.batch_size
        self.step += 1
        is_relu = settings.activation == "relu"
        return StepLog(
            learning_rate=rate,
            sparsity=objective.l1_weight if is_relu else self.run.sparsity,
            loss=loss,
            mse=measured.mse_M[-1],
            sparsity_loss=objective.sparsity_loss(measured.l0, measured.l1),
            aux_loss=measured.aux_loss,
            l0=measured.l0,
            n_dead=int(is_dead_S.sum()),
            gradient_norm=norm,
        )

    def objective(self) -> Objective:
        """The loss of the next step: its prefixes, sparsity and AuxK."""
        settings, run = self.settings, self.run
        n_latents = len(self.last_active_S)
        return Objective(
            ends_M=settings.prefix_ends(n_latents, run.seed, self.step),
            l1_weight=settings.l1_weight(run.sparsity, self.step),
            l0=int(run.sparsity) if "topk" in settings.activation else None,
            over_batch=settings.activation == "batchtopk",
            n_aux=settings.n_aux,
            aux_weight=settings.aux_weight,
            jump=settings.jump(run.sparsity, self.step),
        )

    def finish(self) -> SparseAutoencoder:
        """The trained autoencoder, on the CPU.

        Raises:
            ValueError: a weight is not finite.
        """
        counts = self.settings.activation == "topk"
        weights = Weights(*(tensor.cpu() for tensor in self.weights))
        for name, tensor in weights._asdict().items():
            if not tensor.isfinite().all():
                raise ValueError(
                    f"{self.run.name}: after step {self.step} some values of {name} "
                    "are NaN or infinite: lower its learning_rate"
                )
        return SparseAutoencoder(
            **weights._asdict(),
            mean_D=self.scaling.mean_D.cpu(),
            norm=self.scaling.norm,
            l0=int(self.run.sparsity) if counts else None,
        )

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to continue training."""
        named = {f"weights.{k}": v for k, v in self.weights._asdict().items()}
        for name, moment in self.moments._asdict().items():
            named |= {f"{name}.{key}": v for key, v in moment._asdict().items()}
        named["last_active_S"] = self.last_active_S
        named["step"] = torch.tensor(self.step)
        return {name: tensor.cpu() for name, tensor in named.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state`."""
        for own, name in (
            (self.weights, "weights"),
            (self.moments.mean, "mean"),
            (self.moments.square, "square"),
        ):
            for key, tensor in own._asdict().items():
                tensor.copy_(state[f"{name}.{key}"])
        self.last_active_S.copy_(state["last_active_S"])
        self.step = int(state["step"])

    def to(self, device: torch.device) -> None:
        """Move to `device`, in place."""

        def moved(weights: Weights) -> Weights:
            return Weights(*(tensor.to(device) for tensor in weights))

        self.weights = moved(self.weights)
        self.moments = adam.Moments(*map(moved, self.moments))
        self.last_active_S = self.last_active_S.to(device)
        self.scaling = self.scaling.to(device)
