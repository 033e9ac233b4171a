"""The gradients of `gradients`, on a CPU near the speed of their matrix products.

Latents are cut into tiles and rows into blocks, whose sizes depend on nothing but the
shapes. Each is one core's work from end to end, so no number of cores changes a bit,
and what a core just computed is still in its cache when it is needed.

ReLU needs five matrix products. TopK and BatchTopK need one; all else follows the few
active latents, as it does for ReLU once few are active. B rows, D width, S latents, M
prefixes, A dead latents, E entries (the active latents of all rows).
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
from vitproto.prototypes.sae.gradients import Measured, Objective, Weights

N_PARTS = 4
"""Parts into which small matrices are cut, for the cores to share."""
TILE = (64, 1024)
"""Fewest and most latents of a tile."""
BLOCK = (64, 512)
"""Fewest and most rows of a block."""
FEW = 1 / 32
"""The share of active latents below which ReLU follows them one by one: where that
is faster than matrix products."""


class Scratch:
    """Memory that is used again in every step, and by every autoencoder of a sweep."""

    def __init__(self) -> None:
        self._arrays: dict[str, Tensor] = {}
        self._of_thread = threading.local()

    def take(self, name: str, *shape: int) -> Float32[Tensor, "..."]:
        """Memory for all cores together. What it held before is lost."""
        return _take(self._arrays, name, shape)

    def take_own(self, name: str, *shape: int) -> Float32[Tensor, "..."]:
        """Memory of the core that asks."""
        return _take(self._of_thread.__dict__, name, shape)


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
    """Write the gradients of the loss, and say what the batch showed.

    Args:
        workers: of `one_core_each`.
        scratch: kept by the caller from step to step.
    """
    centred_BD = scratch.take("centred", *z_BD.shape)

    def centre(rows: slice) -> None:
        torch.sub(z_BD[rows], weights.b_dec_D, out=centred_BD[rows])

    list(workers.map(centre, _blocks(len(z_BD))))
    if objective.l0 is None:
        measured = _relu(
            weights, z_BD, centred_BD, objective, gradients, workers, scratch
        )
    else:
        measured = _sparse(
            weights, z_BD, centred_BD, objective, gradients, workers, scratch
        )
    g_MBD = scratch.take("g", len(objective.ends_M), *z_BD.shape)
    aux_loss = _learn_from_residual(
        *(weights, centred_BD, g_MBD[-1], objective, is_dead_S),
        *(gradients, workers, scratch),
    )

    def decoder_bias() -> None:
        through_encoder_D = gradients.b_enc_S @ weights.W_enc_SD
        torch.sub(g_MBD[0].sum(0), through_encoder_D, out=gradients.b_dec_D)

    workers.submit(decoder_bias).result()
    return measured._replace(aux_loss=aux_loss)


def _relu(
    weights: Weights,
    z_BD: Float32[Tensor, "b d"],
    centred_BD: Float32[Tensor, "b d"],
    objective: Objective,
    gradients: Weights,
    workers: Executor,
    scratch: Scratch,
) -> Measured:
    n_rows, width = z_BD.shape
    n_latents, ends = len(weights.b_enc_S), objective.ends_M.tolist()
    tiles = list(_tiles(n_latents, ends))
    latents = scratch.take("latents", n_rows * n_latents)
    largest_S = np.zeros(n_latents, np.float32)
    counts = np.empty((len(tiles), n_rows), np.int64)  # of active latents
    g_MBD = scratch.take("g", len(ends), n_rows, width)
    scale = np.float32(2 / (len(ends) * n_rows * width))
    l1_gradient = np.float32(objective.l1_weight / n_rows)

    def latents_of(tile: "_Tile") -> Tensor:
        # One tile after the other, each of them dense.
        flat = latents[n_rows * tile.first : n_rows * tile.end]
        return flat.view(n_rows, tile.end - tile.first)

    def encode(tile: "_Tile", n_active_B: np.ndarray) -> float:
        of, latents_BT = slice(tile.first, tile.end), latents_of(tile)
        W_enc_DT = weights.W_enc_SD[of].T
        torch.addmm(weights.b_enc_S[of], centred_BD, W_enc_DT, out=latents_BT)
        return kernels.rectify(latents_BT.numpy(), largest_S[of], n_active_B)

    def decode(rows: slice) -> list[float]:
        z = z_BD[rows]
        sum_BD = scratch.take_own("sum", *z.shape).copy_(weights.b_dec_D)
        squares = []
        for tile in tiles:
            W_dec_TD = weights.W_dec_SD[tile.first : tile.end]
            sum_BD.addmm_(latents_of(tile)[rows], W_dec_TD)
            if tile.end == ends[tile.m]:
                g = g_MBD[tile.m, rows].numpy()
                squares.append(kernels.error(sum_BD.numpy(), z.numpy(), g, scale))
        for m in range(len(ends) - 2, -1, -1):
            g_MBD[m, rows] += g_MBD[m + 1, rows]
        return squares

    def learn(tile: "_Tile") -> None:
        of, latents_BT = slice(tile.first, tile.end), latents_of(tile)
        g_BD = g_MBD[tile.m]
        torch.mm(latents_BT.T, g_BD, out=gradients.W_dec_SD[of])
        gradient_BT = scratch.take_own("gradient", *latents_BT.shape)
        torch.mm(g_BD, weights.W_dec_SD[of].T, out=gradient_BT)
        sum_T = gradients.b_enc_S[of].zero_()
        kernels.backpropagate_relu(
            gradient_BT.numpy(), latents_BT.numpy(), l1_gradient, sum_T.numpy()
        )
        torch.mm(gradient_BT.T, centred_BD, out=gradients.W_enc_SD[of])

    def list_active(n_active_B: np.ndarray) -> _Active:
        end_B = np.cumsum(n_active_B)
        next_B = end_B - n_active_B
        latent_E = np.empty(end_B[-1], np.int64)
        value_E = np.empty(end_B[-1], np.float32)

        def take(rows: slice) -> None:
            for tile in tiles:
                latents = latents_of(tile)[rows].numpy()
                kernels.take_positive(
                    latents, tile.first, next_B[rows], latent_E, value_E
                )

        list(workers.map(take, _blocks(n_rows)))
        return _Active(end_B - n_active_B, end_B, latent_E, value_E)

    totals = list(workers.map(encode, tiles, counts))
    n_active_B = counts.sum(axis=0)
    n_active = int(n_active_B.sum())
    if n_active < FEW * n_rows * n_latents:
        squares_M, _ = _learn_from_active(
            *(weights, weights.b_dec_D, z_BD, centred_BD, list_active(n_active_B)),
            *(objective.ends_M, float(scale), g_MBD, gradients, workers),
            l1_gradient=float(l1_gradient),
        )
    else:
        squares_M = np.sum(list(workers.map(decode, _blocks(n_rows))), axis=0)
        list(workers.map(learn, tiles))
    return Measured(
        mse_M=(squares_M / z_BD.numel()).tolist(),
        l0=n_active / n_rows,
        l1=sum(totals) / n_rows,
        aux_loss=0.0,
        active_S=torch.from_numpy(largest_S > 0),
        least=0.0,
    )


def _sparse(
    weights: Weights,
    z_BD: Float32[Tensor, "b d"],
    centred_BD: Float32[Tensor, "b d"],
    objective: Objective,
    gradients: Weights,
    workers: Executor,
    scratch: Scratch,
) -> Measured:
    n_rows, n_latents = len(z_BD), len(weights.b_enc_S)
    if objective.over_batch:
        n_active = min(objective.l0 * n_rows, n_rows * n_latents)
        active = _largest_of_batch(weights, centred_BD, n_active, workers, scratch)
    else:
        n_active = min(objective.l0, n_latents)
        active = _largest_of_rows(weights, centred_BD, n_active, 0.0, workers, scratch)
    g_MBD = scratch.take("g", len(objective.ends_M), *z_BD.shape)
    scale = 2 / (len(objective.ends_M) * z_BD.numel())
    squares_M, _ = _learn_from_active(
        *(weights, weights.b_dec_D, z_BD, centred_BD, active, objective.ends_M),
        *(scale, g_MBD, gradients, workers),
        l1_gradient=0.0,
    )
    is_entry_E = _is_entry(active)
    active_S = torch.zeros(n_latents, dtype=torch.bool)
    active_S[torch.from_numpy(active.latent_E[is_entry_E])] = True
    value_E = active.value_E[is_entry_E]
    return Measured(
        mse_M=(squares_M / z_BD.numel()).tolist(),
        l0=len(value_E) / n_rows,
        l1=float(value_E.sum(dtype=np.float64)) / n_rows,
        aux_loss=0.0,
        active_S=active_S,
        least=float(value_E.min(initial=np.inf)),
    )


def _largest_of_rows(
    weights: Weights,
    centred_BD: Float32[Tensor, "b d"],
    n_active: int,
    least: float,
    workers: Executor,
    scratch: Scratch,
) -> _Active:
    """The largest pre-activations above `least` of each row."""
    n_rows, n_latents = len(centred_BD), len(weights.b_enc_S)
    latent_E = np.empty(n_rows * n_active, np.int64)
    value_E = np.empty(n_rows * n_active, np.float32)
    n_B = np.empty(n_rows, np.int64)

    def encode(rows: slice) -> None:
        some_BD = centred_BD[rows]
        pre_BS = scratch.take_own("pre", len(some_BD), n_latents)
        torch.addmm(weights.b_enc_S, some_BD, weights.W_enc_SD.T, out=pre_BS)
        entries = slice(n_active * rows.start, n_active * (rows.start + len(some_BD)))
        kernels.select_largest(
            *(pre_BS.numpy(), n_active, np.float32(least)),
            *(latent_E[entries], value_E[entries], n_B[rows]),
        )

    list(workers.map(encode, _blocks(n_rows)))
    start_B = np.arange(n_rows, dtype=np.int64) * n_active
    return _Active(start_B, start_B + n_B, latent_E, value_E)


def _largest_of_batch(
    weights: Weights,
    centred_BD: Float32[Tensor, "b d"],
    n_active: int,
    workers: Executor,
    scratch: Scratch,
) -> _Active:
    """The largest positive pre-activations of all rows together."""
    n_rows, n_latents = len(centred_BD), len(weights.b_enc_S)
    pre_BS = scratch.take("latents", n_rows * n_latents).view(n_rows, n_latents)
    blocks = list(_blocks(n_rows))

    def encode(rows: slice) -> np.ndarray:
        W_enc_DS = weights.W_enc_SD.T
        torch.addmm(weights.b_enc_S, centred_BD[rows], W_enc_DS, out=pre_BS[rows])
        return count(rows, 16, 0)

    def count(rows: slice, shift: int, prefix: int) -> np.ndarray:
        counts = np.zeros(2**16, np.int64)
        bits_BS = pre_BS[rows].numpy().view(np.int32)
        kernels.histogram(bits_BS, shift, prefix, counts)
        return counts

    # The bound is found bit by bit: the upper half of the bits, then the lower.
    upper = _bucket(sum(workers.map(encode, blocks)), n_active)
    if upper is None:  # fewer values are positive than may be active
        bound, n_ties = np.float32(0), 0
    else:
        bucket, n_left = upper
        counts = sum(workers.map(lambda rows: count(rows, 0, bucket), blocks))
        lower, n_ties = _bucket(counts, n_left)
        bound = np.int32((bucket << 16) | lower).view(np.float32)

    n_above_B, n_tied_B = np.empty((2, n_rows), np.int64)

    def count_rows(rows: slice) -> None:
        pre = pre_BS[rows].numpy()
        kernels.count_above(pre, bound, n_above_B[rows], n_tied_B[rows])

    list(workers.map(count_rows, blocks))
    # Ties with the bound fill the places left, from the first row on.
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

    list(workers.map(take, blocks))
    return _Active(start_B, end_B, latent_E, value_E)


def _bucket(counts: np.ndarray, n_wanted: int) -> tuple[int, int] | None:
    """In which bucket the n-th largest lies, and its place there; None: too few."""
    from_top = np.cumsum(counts[::-1])
    i = int(np.searchsorted(from_top, n_wanted))
    if i == len(counts):
        return None
    n_above = int(from_top[i - 1]) if i else 0
    return len(counts) - 1 - i, n_wanted - n_above


def _learn_from_active(
    weights: Weights,
    bias_D: Float32[Tensor, " d"],
    target_BD: Float32[Tensor, "b d"],
    centred_BD: Float32[Tensor, "b d"],
    active: _Active,
    ends_M: Int64[np.ndarray, " m"],
    scale: float,
    g_MBD: Float32[Tensor, "m b d"],
    gradients: Weights,
    workers: Executor,
    *,
    l1_gradient: float,
) -> tuple[Float[np.ndarray, " m"], Float32[np.ndarray, " e"]]:
    """Decode active latents and write the gradients of all weights but `b_dec`.

    Args:
        l1_gradient: what the L1 norm adds to the gradient by each active latent.

    Returns:
        The sum of squared errors of each prefix, and the gradient by each entry.
    """
    start_B, end_B, latent_E, value_E = active
    n_latents = len(weights.b_enc_S)
    gradient_E = np.empty_like(value_E)
    W_dec_SD, g = weights.W_dec_SD.numpy(), g_MBD.numpy()

    def decode(rows: slice) -> np.ndarray:
        of = (rows.start, rows.stop, start_B, end_B, latent_E)
        squares_M = kernels.decode(
            *(*of, value_E, W_dec_SD, bias_D.numpy(), target_BD.numpy(), ends_M),
            *(np.float32(scale), g),
        )
        l1 = np.float32(l1_gradient)
        kernels.latent_gradients(*of, W_dec_SD, ends_M, g, l1, gradient_E)
        return squares_M

    squares = list(workers.map(decode, _blocks(len(target_BD))))
    row_E = np.empty_like(latent_E)
    order_E = np.empty_like(latent_E)
    start_S = np.empty(n_latents + 1, np.int64)
    kernels.by_latent(latent_E, row_E, start_B, end_B, start_S, order_E)

    def learn(tile: "_Tile") -> None:
        kernels.weight_gradients(
            *(tile.first, tile.end, start_S, order_E, row_E, value_E, gradient_E),
            *(ends_M, g, centred_BD.numpy(), gradients.W_enc_SD.numpy()),
            *(gradients.b_enc_S.numpy(), gradients.W_dec_SD.numpy()),
        )

    list(workers.map(learn, _tiles(n_latents, [n_latents])))
    return np.sum(squares, axis=0), gradient_E


def _learn_from_residual(
    weights: Weights,
    centred_BD: Float32[Tensor, "b d"],
    last_g_BD: Float32[Tensor, "b d"],
    objective: Objective,
    is_dead_S: Bool[Tensor, " s"],
    gradients: Weights,
    workers: Executor,
    scratch: Scratch,
) -> float:
    """AuxK: add the gradients of dead latents; gives the loss without its weight."""
    dead_A = is_dead_S.nonzero()[:, 0]
    n_aux = min(objective.n_aux, len(dead_A))
    if n_aux == 0 or objective.aux_weight == 0:
        return 0.0
    dead = Weights(
        *(tensor[dead_A] for tensor in weights[:3]),
        torch.zeros_like(weights.b_dec_D),
    )
    n_values = centred_BD.numel()
    residual_BD = scratch.take("residual", *centred_BD.shape)
    to_residual = -len(objective.ends_M) * n_values / 2

    def negate(rows: slice) -> None:
        torch.mul(last_g_BD[rows], to_residual, out=residual_BD[rows])

    list(workers.map(negate, _blocks(len(centred_BD))))
    active = _largest_of_rows(dead, centred_BD, n_aux, -np.inf, workers, scratch)
    found = Weights.like(dead)
    g_1BD = scratch.take("aux g", 1, *centred_BD.shape)
    squares_M, _ = _learn_from_active(
        *(dead, dead.b_dec_D, residual_BD, centred_BD, active),
        *(np.array([len(dead_A)]), 2 * objective.aux_weight / n_values),
        *(g_1BD, found, workers),
        l1_gradient=0.0,
    )
    for gradient, of_dead in zip(gradients[:3], found[:3], strict=True):
        gradient[dead_A] += of_dead
    return float(squares_M[0]) / n_values


class _Tile(NamedTuple):
    """Latents `first` to `end` - 1, all of the same group between two prefixes."""

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


def _is_entry(active: _Active) -> Bool[np.ndarray, " e"]:
    """Which places of the entries are taken: rows may have fewer than they could."""
    change_E = np.zeros(len(active.latent_E) + 1, np.int64)
    np.add.at(change_E, active.start_B, 1)
    np.add.at(change_E, active.end_B, -1)
    return np.cumsum(change_E[:-1]) > 0


def _take(arrays: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    n_values = int(np.prod(shape))
    if name not in arrays or arrays[name].numel() < n_values:
        arrays[name] = torch.empty(n_values)
    return arrays[name][:n_values].view(shape)
