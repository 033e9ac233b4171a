"""CPU version of gradients.py, close to the speed of its matrix products.

Read step.py and the formulas in gradients.py first. Latents are cut into tiles and rows
into blocks, whose sizes depend only on the shapes. One core does all the work on a tile
or block, so results are the same bits on any number of cores, and what a core has just
computed is still in its cache when it is needed.

ReLU with many active latents and JumpReLU take five products of dense matrices. In all
other cases only the encoder is one; the rest is computed from a list of the active
latents.

B rows of a batch, D width, S latents, T latents of a tile, M prefixes, A dead latents,
E entries: the active latents of all rows.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from vitproto.prototypes.sae import kernels
from vitproto.prototypes.sae.buckets import find_bucket
from vitproto.prototypes.sae.gradients import (
    Measured,
    Sums,
    Weights,
    complete,
    learn_from_rows,
    residual_variance,
)
from vitproto.prototypes.sae.objective import Objective

N_PARTS = 4
"""Parts into which small matrices are cut, for the cores to share."""
TILE = (64, 1024)
"""Minimum and maximum number of latents in a tile."""
BLOCK = (64, 512)
"""Minimum and maximum number of rows in a block."""
FEW = 1 / 32
"""The share of active latents below which ReLU works from a list of them, because
that is faster than dense products."""


class Scratch:
    """Memory that is reused in every step, by all autoencoders of a sweep."""

    def __init__(self) -> None:
        self._arrays: dict[str, Tensor] = {}
        self._of_thread = threading.local()

    def take(self, name: str, *shape: int) -> Float32[Tensor, "..."]:
        """Memory shared by all threads, with undefined contents."""
        return _take(self._arrays, name, shape)

    def take_own(self, name: str, *shape: int) -> Float32[Tensor, "..."]:
        """Memory of the calling thread, with undefined contents."""
        return _take(self._of_thread.__dict__, name, shape)


class _Term(NamedTuple):
    """A squared error of the loss, and where its gradients go.

    There are two: all latents reconstruct the batch, and with AuxK the dead latents
    reconstruct the residual.
    """

    weights: Weights
    """The weights of these latents; their reconstruction includes `b_dec_D`."""
    centred_BD: Float32[Tensor, "b d"]
    """The encoder's input, z - b_dec."""
    target_BD: Float32[Tensor, "b d"]
    """The target of the reconstruction."""
    ends_M: Int64[np.ndarray, " m"]
    scale: float
    """What the error is multiplied by in its gradient: 2 / (M · B), or with AuxK
    2 · aux_weight / (B · V)."""
    l1_gradient: float
    """What the L1 norm adds to the gradient of each active latent."""
    g_MBD: Float32[Tensor, "m b d"]
    """Output: the gradients g of gradients.py's formulas."""
    gradients: Weights
    """Output: of all weights but `b_dec_D`."""
    workers: Executor
    scratch: Scratch


class _Active(NamedTuple):
    """The active latents of each row: entries `start_B[b]` to `end_B[b]` - 1."""

    start_B: Int64[np.ndarray, " b"]
    end_B: Int64[np.ndarray, " b"]
    latent_E: Int64[np.ndarray, " e"]
    value_E: Float32[np.ndarray, " e"]


def compute_gradients(
    weights: Weights,
    z_BD: Float32[Tensor, "b d"],
    objective: Objective,
    is_dead_S: Bool[Tensor, " s"],
    gradients: Weights,
    workers: Executor,
    scratch: Scratch,
) -> Measured:
    """Write the gradients of the loss into `gradients`, and measure the batch.

    Args:
        workers: from `one_core_each`.
        scratch: kept by the caller from step to step.
    """
    n_prefixes = len(objective.ends_M)
    reconstruction = _Term(
        weights=weights,
        centred_BD=_centre(z_BD, weights.b_dec_D, workers, scratch),
        target_BD=z_BD,
        ends_M=objective.ends_M,
        scale=2 / (n_prefixes * len(z_BD)),
        l1_gradient=objective.l1_weight / len(z_BD),
        g_MBD=scratch.take("g", n_prefixes, *z_BD.shape),
        gradients=gradients,
        workers=workers,
        scratch=scratch,
    )
    if objective.jump is not None:
        measured = _jump_relu(reconstruction, objective)
    else:
        gradients.threshold_S.zero_()
        if objective.l0 is None:
            measured = _relu(reconstruction)
        else:
            measured = _sparse(reconstruction, objective.l0, objective.over_batch)
        # By a worker, which has one thread: the order of sums depends on their number.
        # Before AuxK, from which only dead latents learn.
        workers.submit(_write_decoder_bias, reconstruction).result()
    aux_loss = _learn_from_residual(reconstruction, objective, is_dead_S)
    return measured._replace(aux_loss=aux_loss)


def _centre(
    z_BD: Tensor, b_dec_D: Tensor, workers: Executor, scratch: Scratch
) -> Tensor:
    """z - b_dec."""
    centred_BD = scratch.take("centred", *z_BD.shape)

    def subtract(rows: slice) -> None:
        torch.sub(z_BD[rows], b_dec_D, out=centred_BD[rows])

    list(workers.map(subtract, _blocks(len(z_BD))))
    return centred_BD


def _write_decoder_bias(term: _Term) -> None:
    """The decoder's bias is added to each row, and subtracted before the encoder."""
    through_encoder_D = term.gradients.b_enc_S @ term.weights.W_enc_SD
    torch.sub(term.g_MBD[0].sum(0), through_encoder_D, out=term.gradients.b_dec_D)


# JumpReLU: dense products, parts of the batch side by side.


def _jump_relu(term: _Term, objective: Objective) -> Measured:
    """The formulas for GPUs, each core with some rows; gradients are sums over these.

    Thresholds also learn from pre-activations that are just not active, so a list of
    active latents would not do. Of `g_MBD`, only the last prefix is written.
    """
    z_BD, gradients = term.target_BD, term.gradients
    n_rows = len(z_BD)
    size = -(-n_rows // N_PARTS)
    blocks = [slice(first, first + size) for first in range(0, n_rows, size)]
    parts = [Weights.like(term.weights) for _ in blocks]

    def learn(rows: slice, part: Weights) -> Sums:
        learnt = learn_from_rows(term.weights, z_BD[rows], objective, n_rows, part)
        torch.mul(learnt.residual_BD, -term.scale, out=term.g_MBD[-1, rows])
        return learnt.sums

    sums = list(term.workers.map(learn, blocks, parts))
    for total, *tensors in zip(gradients, *parts, strict=True):
        total.copy_(tensors[0])
        for tensor in tensors[1:]:
            total += tensor
    together = Sums(*map(sum, zip(*sums, strict=True)))
    active_S = together.active_S > 0
    return complete(together._replace(active_S=active_S), objective, n_rows, gradients)


# ReLU: first dense, then from a list of active latents if these are few.


def _relu(term: _Term) -> Measured:
    n_rows, n_latents = len(term.target_BD), len(term.weights.b_enc_S)
    dense = _DenseRelu.of(term)

    # Encode, tile by tile.
    n_active_of_tiles = np.empty((len(dense.tiles), n_rows), np.int64)
    l1_of_tiles = list(term.workers.map(dense.encode, dense.tiles, n_active_of_tiles))
    n_active_B = n_active_of_tiles.sum(axis=0)
    n_active = int(n_active_B.sum())

    # Decode block by block, then compute the gradients of the weights tile by tile.
    if n_active < FEW * n_rows * n_latents:
        squares_M = _learn_from_active(term, dense.list_active(n_active_B))
    else:
        squares_of_blocks = list(term.workers.map(dense.decode, _blocks(n_rows)))
        squares_M = np.sum(squares_of_blocks, axis=0)
        list(term.workers.map(dense.learn, dense.tiles))
    return Measured(
        mse_M=(squares_M / n_rows).tolist(),
        l0=n_active / n_rows,
        l1=sum(l1_of_tiles) / n_rows,
        aux_loss=0.0,
        active_S=torch.from_numpy(dense.largest_S > 0),
    )


class _DenseRelu(NamedTuple):
    """The latents of a batch as dense matrices, and the steps that use them."""

    term: _Term
    tiles: "list[_Tile]"
    """Each lies within one group of latents, between the ends of two prefixes."""
    latents: Float32[Tensor, " n"]
    """The latents of one tile after the other, each a matrix of B × T."""
    largest_S: Float32[np.ndarray, " s"]
    """The largest value of each latent in the batch."""

    @classmethod
    def of(cls, term: _Term) -> "_DenseRelu":
        """Matrices for a batch, before anything is encoded."""
        n_rows, n_latents = len(term.target_BD), len(term.weights.b_enc_S)
        tiles = list(_tiles(n_latents, term.ends_M.tolist()))
        latents = term.scratch.take("latents", n_rows * n_latents)
        return cls(term, tiles, latents, np.zeros(n_latents, np.float32))

    def latents_of(self, tile: "_Tile") -> Float32[Tensor, "b t"]:
        """The latents of all rows in a tile."""
        n_rows = len(self.term.target_BD)
        values = self.latents[n_rows * tile.first : n_rows * tile.end]
        return values.view(n_rows, tile.end - tile.first)

    def encode(self, tile: "_Tile", n_active_B: Int64[np.ndarray, " b"]) -> float:
        """Compute the latents of a tile; returns their sum.

        Writes how many of them are active in each row, and `largest_S`.
        """
        weights, in_tile = self.term.weights, slice(tile.first, tile.end)
        latents_BT = self.latents_of(tile)
        torch.addmm(
            weights.b_enc_S[in_tile],
            self.term.centred_BD,
            weights.W_enc_SD[in_tile].T,
            out=latents_BT,
        )
        return kernels.rectify(latents_BT.numpy(), self.largest_S[in_tile], n_active_B)

    def decode(self, rows: slice) -> list[float]:
        """Write g for a block of rows; returns the squared error of each prefix."""
        weights, g_MBD = self.term.weights, self.term.g_MBD
        target_BD, scale = self.term.target_BD[rows], np.float32(self.term.scale)
        sum_BD = self.term.scratch.take_own("sum", *target_BD.shape)
        sum_BD.copy_(weights.b_dec_D)
        squares_M = []
        for tile in self.tiles:
            W_dec_TD = weights.W_dec_SD[tile.first : tile.end]
            sum_BD.addmm_(self.latents_of(tile)[rows], W_dec_TD)
            if tile.end == self.term.ends_M[tile.m]:  # the prefix is complete
                g_BD = g_MBD[tile.m, rows].numpy()
                squares_M.append(
                    kernels.error(sum_BD.numpy(), target_BD.numpy(), g_BD, scale)
                )
        # Latents of a group are part of their own prefix and of all longer ones.
        for m in range(len(g_MBD) - 2, -1, -1):
            g_MBD[m, rows] += g_MBD[m + 1, rows]
        return squares_M

    def learn(self, tile: "_Tile") -> None:
        """Write the gradients of the weights of a tile, from all rows."""
        weights, gradients = self.term.weights, self.term.gradients
        in_tile, latents_BT = slice(tile.first, tile.end), self.latents_of(tile)
        g_BD = self.term.g_MBD[tile.m]
        torch.mm(latents_BT.T, g_BD, out=gradients.W_dec_SD[in_tile])
        # With respect to the latents, then to their pre-activations.
        h_BT = self.term.scratch.take_own("gradient", *latents_BT.shape)
        torch.mm(g_BD, weights.W_dec_SD[in_tile].T, out=h_BT)
        kernels.backpropagate_relu(
            h_BT.numpy(),
            latents_BT.numpy(),
            np.float32(self.term.l1_gradient),
            gradients.b_enc_S[in_tile].zero_().numpy(),
        )
        torch.mm(h_BT.T, self.term.centred_BD, out=gradients.W_enc_SD[in_tile])

    def list_active(self, n_active_B: Int64[np.ndarray, " b"]) -> _Active:
        """The active latents, row by row."""
        end_B = np.cumsum(n_active_B)
        start_B = end_B - n_active_B
        latent_E = np.empty(end_B[-1], np.int64)
        value_E = np.empty(end_B[-1], np.float32)
        next_B = start_B.copy()

        def take(rows: slice) -> None:
            for tile in self.tiles:
                latents = self.latents_of(tile)[rows].numpy()
                kernels.take_positive(
                    latents, tile.first, next_B[rows], latent_E, value_E
                )

        list(self.term.workers.map(take, _blocks(len(start_B))))
        return _Active(start_B, end_B, latent_E, value_E)


# TopK and BatchTopK: choose the active latents, then work from their list.


def _sparse(term: _Term, l0: int, over_batch: bool) -> Measured:
    n_rows, n_latents = len(term.target_BD), len(term.weights.b_enc_S)
    if over_batch:
        active = _largest_of_batch(term, min(l0 * n_rows, n_rows * n_latents))
    else:
        active = _largest_of_rows(term, min(l0, n_latents))
    squares_M = _learn_from_active(term, active)
    is_entry_E = _is_entry(active)
    active_S = torch.zeros(n_latents, dtype=torch.bool)
    active_S[torch.from_numpy(active.latent_E[is_entry_E])] = True
    value_E = active.value_E[is_entry_E]
    return Measured(
        mse_M=(squares_M / n_rows).tolist(),
        l0=len(value_E) / n_rows,
        l1=float(value_E.sum(dtype=np.float64)) / n_rows,
        aux_loss=0.0,
        active_S=active_S,
    )


def _largest_of_rows(term: _Term, n_active: int) -> _Active:
    """The `n_active` largest pre-activations of each row, if they are positive."""
    weights, centred_BD = term.weights, term.centred_BD
    n_rows, n_latents = len(centred_BD), len(weights.b_enc_S)
    latent_E = np.empty(n_rows * n_active, np.int64)
    value_E = np.empty(n_rows * n_active, np.float32)
    n_B = np.empty(n_rows, np.int64)

    def encode(rows: slice) -> None:
        block_BD = centred_BD[rows]
        pre_BS = term.scratch.take_own("pre", len(block_BD), n_latents)
        torch.addmm(weights.b_enc_S, block_BD, weights.W_enc_SD.T, out=pre_BS)
        entries = slice(n_active * rows.start, n_active * (rows.start + len(block_BD)))
        kernels.select_largest(
            *(pre_BS.numpy(), n_active),
            *(latent_E[entries], value_E[entries], n_B[rows]),
        )

    list(term.workers.map(encode, _blocks(n_rows)))
    start_B = np.arange(n_rows, dtype=np.int64) * n_active
    return _Active(start_B, start_B + n_B, latent_E, value_E)


def _largest_of_batch(term: _Term, n_active: int) -> _Active:
    """The `n_active` largest positive pre-activations of all rows together."""
    n_rows, n_latents = len(term.centred_BD), len(term.weights.b_enc_S)
    pre_BS = term.scratch.take("latents", n_rows * n_latents).view(n_rows, n_latents)
    blocks = list(_blocks(n_rows))
    bound, n_ties = _encode_and_find_bound(term, n_active, pre_BS)

    n_above_B, n_tied_B = np.empty((2, n_rows), np.int64)

    def count(rows: slice) -> None:
        pre = pre_BS[rows].numpy()
        kernels.count_above(pre, bound, n_above_B[rows], n_tied_B[rows])

    list(term.workers.map(count, blocks))
    # Values equal to the bound take the places that are left, from the first row on.
    before_B = np.cumsum(n_tied_B) - n_tied_B
    n_ties_B = np.clip(n_ties - before_B, 0, n_tied_B)
    end_B = np.cumsum(n_above_B + n_ties_B)
    start_B = end_B - n_above_B - n_ties_B
    latent_E = np.empty(end_B[-1], np.int64)
    value_E = np.empty(end_B[-1], np.float32)

    def take(rows: slice) -> None:
        kernels.take_above(
            *(pre_BS[rows].numpy(), bound, n_ties_B[rows], start_B[rows]),
            *(latent_E, value_E),
        )

    list(term.workers.map(take, blocks))
    return _Active(start_B, end_B, latent_E, value_E)


def _encode_and_find_bound(
    term: _Term, n_active: int, pre_BS: Float32[Tensor, "b s"]
) -> tuple[np.float32, int]:
    """Write the pre-activations; find the smallest that is active.

    Positive floats are ordered as their bits are. So a histogram of the upper 16 bits
    tells the upper half of the bound, and one of the lower 16 bits the rest.

    Returns:
        The bound, and how many values equal to it are active. It is 0 where fewer than
        `n_active` are positive.
    """
    weights, blocks = term.weights, list(_blocks(len(pre_BS)))

    def encode(rows: slice) -> np.ndarray:
        W_enc_DS = weights.W_enc_SD.T
        block_BD = term.centred_BD[rows]
        torch.addmm(weights.b_enc_S, block_BD, W_enc_DS, out=pre_BS[rows])
        return count(rows, 16, 0)

    def count(rows: slice, shift: int, prefix: int) -> np.ndarray:
        counts = np.zeros(2**16, np.int64)
        bits_BS = pre_BS[rows].numpy().view(np.int32)
        kernels.histogram(bits_BS, shift, prefix, counts)
        return counts

    upper = find_bucket(sum(term.workers.map(encode, blocks)), n_active)
    if upper is None:
        return np.float32(0), 0
    bucket, n_left = upper
    counts = sum(term.workers.map(lambda rows: count(rows, 0, bucket), blocks))
    lower, n_ties = find_bucket(counts, n_left)
    return np.int32((bucket << 16) | lower).view(np.float32), n_ties


def _is_entry(active: _Active) -> Bool[np.ndarray, " e"]:
    """Which entries are used: a row may have fewer than there is room for."""
    change_E = np.zeros(len(active.latent_E) + 1, np.int64)
    np.add.at(change_E, active.start_B, 1)
    np.add.at(change_E, active.end_B, -1)
    return np.cumsum(change_E[:-1]) > 0


# From a list of active latents to gradients: all kinds, and AuxK.


def _learn_from_active(term: _Term, active: _Active) -> Float[np.ndarray, " m"]:
    """Decode active latents, and write the gradients of all weights but `b_dec`.

    Returns:
        The sum of squared errors of each prefix.
    """
    start_B, end_B, latent_E, value_E = active
    ends_M, g = term.ends_M, term.g_MBD.numpy()
    W_dec_SD, bias_D = term.weights.W_dec_SD.numpy(), term.weights.b_dec_D.numpy()
    target_BD, centred_BD = term.target_BD.numpy(), term.centred_BD.numpy()
    gradient_E = np.empty_like(value_E)

    def decode(rows: slice) -> np.ndarray:
        of_rows = (rows.start, rows.stop, start_B, end_B, latent_E)
        squares_M = kernels.decode(
            *(*of_rows, value_E, W_dec_SD, bias_D, target_BD, ends_M),
            *(np.float32(term.scale), g),
        )
        l1_gradient = np.float32(term.l1_gradient)
        kernels.latent_gradients(
            *(*of_rows, W_dec_SD, ends_M, g, l1_gradient, gradient_E)
        )
        return squares_M

    squares = list(term.workers.map(decode, _blocks(len(target_BD))))
    # Weights belong to latents, so their gradients need entries latent by latent.
    n_latents = len(term.weights.b_enc_S)
    row_E = np.empty_like(latent_E)
    order_E = np.empty_like(latent_E)
    start_S = np.empty(n_latents + 1, np.int64)
    kernels.by_latent(latent_E, row_E, start_B, end_B, start_S, order_E)

    def learn(tile: "_Tile") -> None:
        kernels.weight_gradients(
            *(tile.first, tile.end, start_S, order_E, row_E, value_E, gradient_E),
            *(ends_M, g, centred_BD, term.gradients.W_enc_SD.numpy()),
            *(term.gradients.b_enc_S.numpy(), term.gradients.W_dec_SD.numpy()),
        )

    list(term.workers.map(learn, _tiles(n_latents, [n_latents])))
    return np.sum(squares, axis=0)


def _learn_from_residual(
    term: _Term, objective: Objective, is_dead_S: Bool[Tensor, " s"]
) -> float:
    """AuxK: add the gradients of dead latents; returns the loss without its weight."""
    dead_A = is_dead_S.nonzero()[:, 0]
    n_aux = min(objective.n_aux, len(dead_A))
    if n_aux == 0 or objective.aux_weight == 0:
        return 0.0
    residual_BD = _residual(term)
    variance = term.workers.submit(residual_variance, residual_BD).result()
    if variance == 0:
        return 0.0
    dead = Weights(
        *(tensor[dead_A] for tensor in term.weights[:3]),
        torch.zeros_like(term.weights.b_dec_D),
        term.weights.threshold_S[dead_A],
    )
    aux = term._replace(
        weights=dead,
        target_BD=residual_BD,
        ends_M=np.array([len(dead_A)]),
        scale=2 * objective.aux_weight / (len(residual_BD) * variance),
        l1_gradient=0.0,
        g_MBD=term.scratch.take("aux g", 1, *residual_BD.shape),
        gradients=Weights.like(dead),
    )
    squares_M = _learn_from_active(aux, _largest_of_rows(aux, n_aux))
    for gradient, of_dead in zip(term.gradients[:3], aux.gradients[:3], strict=True):
        gradient[dead_A] += of_dead
    return float(squares_M[0]) / (len(residual_BD) * variance)


def _residual(term: _Term) -> Float32[Tensor, "b d"]:
    """z - ẑ, from the gradient of the last prefix: `scale` times ẑ - z."""
    residual_BD = term.scratch.take("residual", *term.target_BD.shape)
    to_residual = -len(term.ends_M) * len(residual_BD) / 2

    def negate(rows: slice) -> None:
        torch.mul(term.g_MBD[-1, rows], to_residual, out=residual_BD[rows])

    list(term.workers.map(negate, _blocks(len(residual_BD))))
    return residual_BD


# Tiles, blocks and memory.


class _Tile(NamedTuple):
    """Latents `first` to `end` - 1, all in group m, between prefixes m - 1 and m."""

    first: int
    end: int
    m: int


def _tiles(n_latents: int, ends: list[int]) -> Iterator[_Tile]:
    size = min(TILE[1], max(TILE[0], -(-n_latents // N_PARTS)))
    group_start = 0
    for m, group_end in enumerate(ends):
        for first in range(group_start, group_end, size):
            yield _Tile(first, min(first + size, group_end), m)
        group_start = group_end


def _blocks(n_rows: int) -> Iterator[slice]:
    size = min(BLOCK[1], max(BLOCK[0], -(-n_rows // N_PARTS)))
    for first in range(0, n_rows, size):
        yield slice(first, min(first + size, n_rows))


def _take(arrays: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    n_values = int(np.prod(shape))
    if name not in arrays or arrays[name].numel() < n_values:
        arrays[name] = torch.empty(n_values)
    return arrays[name][:n_values].view(shape)
