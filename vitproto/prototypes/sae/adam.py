"""Adam with a limit of the gradient's norm, decoder rows of length 1 and thresholds of
at least 0.

step.py shows the same in plain torch. T latents of a tile.
"""

import math
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from torch import Tensor

from vitproto.prototypes.sae import kernels
from vitproto.prototypes.sae.gradients import Weights

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""The defaults of Kingma & Ba (2015)."""

TILE = 256
"""Latents whose weights one core updates at a time."""


class Moments(NamedTuple):
    """Adam's running means of the gradients and of their squares."""

    mean: Weights
    square: Weights

    @classmethod
    def of(cls, weights: Weights) -> "Moments":
        """Moments before the first step: zeros."""
        return cls(Weights.like(weights), Weights.like(weights))


def gradient_norm(
    weights: Weights, gradients: Weights, *, freeze_decoder: bool, workers: Executor
) -> float:
    """Prepare gradients for `update`, in place; returns their common norm.

    Decoder rows have length 1, so the part of a gradient along its row is removed. The
    gradient of a frozen decoder becomes 0.
    """
    if freeze_decoder:
        gradients.W_dec_SD.zero_()
    if weights.W_dec_SD.is_cuda:
        W_dec, gradient = weights.W_dec_SD, gradients.W_dec_SD
        gradient -= (gradient * W_dec).sum(1, keepdim=True) * W_dec
        return math.sqrt(sum(float(tensor.square().sum()) for tensor in gradients))

    def measure(tile: slice) -> float:
        decoder = gradients.W_dec_SD[tile].numpy()
        kernels.remove_parallel(decoder, weights.W_dec_SD[tile].numpy())
        encoder = gradients.W_enc_SD[tile].numpy()
        return kernels.sum_of_squares(decoder) + kernels.sum_of_squares(encoder)

    total = sum(workers.map(measure, _tiles(weights)))
    biases = (gradients.b_enc_S, gradients.b_dec_D, gradients.threshold_S)
    total += sum(kernels.sum_of_squares(bias[None].numpy()) for bias in biases)
    return math.sqrt(total) if total >= 0 else math.nan


def update(
    weights: Weights,
    gradients: Weights,
    moments: Moments,
    *,
    step: int,
    learning_rate: float,
    shrink: float,
    workers: Executor,
) -> None:
    """Take one step of Adam, in place; then normalise the decoder's rows.

    Args:
        gradients: prepared by `gradient_norm`; overwritten.
        step: counted from 0.
        shrink: the factor that limits the norm of the gradients.
    """
    rate = learning_rate / (1 - BETA_1 ** (step + 1))
    root_bias_2 = math.sqrt(1 - BETA_2 ** (step + 1))
    if weights.W_dec_SD.is_cuda:
        for weight, gradient, mean, square in zip(
            weights, gradients, *moments, strict=True
        ):
            gradient *= shrink
            mean.lerp_(gradient, 1 - BETA_1)
            square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
            weight.addcdiv_(
                mean, (square.sqrt() / root_bias_2).add_(EPSILON), value=-rate
            )
        weights.W_dec_SD.div_(weights.W_dec_SD.norm(dim=1, keepdim=True))
        weights.threshold_S.clamp_(min=0)
        return
    numbers = map(np.float32, (shrink, rate, BETA_1, BETA_2, root_bias_2, EPSILON))
    constants = tuple(numbers)

    def move(tile: slice | None, i: int) -> None:
        parts = (tensors[i] for tensors in (weights, gradients, *moments))
        kernels.adam(*(_rows(part, tile) for part in parts), *constants)

    def move_tile(tile: slice) -> None:
        move(tile, Weights._fields.index("W_enc_SD"))
        move(tile, Weights._fields.index("W_dec_SD"))
        kernels.normalise(weights.W_dec_SD[tile].numpy())

    list(workers.map(move_tile, _tiles(weights)))
    move(None, Weights._fields.index("b_enc_S"))
    move(None, Weights._fields.index("b_dec_D"))
    move(None, Weights._fields.index("threshold_S"))
    weights.threshold_S.clamp_(min=0)


def _rows(tensor: Tensor, tile: slice | None) -> np.ndarray:
    return (tensor[None] if tile is None else tensor[tile]).numpy()


def _tiles(weights: Weights) -> list[slice]:
    n_latents = len(weights.b_enc_S)
    return [slice(first, first + TILE) for first in range(0, n_latents, TILE)]
