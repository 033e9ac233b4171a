"""Training autoencoders, against matrix products alone, autograd, and single runs."""

import math
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from itertools import islice, product
from pathlib import Path

import numpy as np
import torch
from timing import Paired, Row, paired, run_alone, seconds
from torch import Tensor
from torch.nn.functional import linear, mse_loss, relu
from torch.nn.utils import clip_grad_norm_

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.activations.stream import Activations
from vitproto.core.threads import one_core_each
from vitproto.prototypes.gaussian import draw_directions
from vitproto.prototypes.sae import sweep
from vitproto.prototypes.sae.cpu_gradients import Scratch
from vitproto.prototypes.sae.gradients import Weights
from vitproto.prototypes.sae.learner import Learner, Scaling, StepLog
from vitproto.prototypes.sae.settings import SaeSettings
from vitproto.prototypes.sae.start import measure_scaling
from vitproto.prototypes.sae.states import States
from vitproto.study.run import Run

B, D, S = 2048, 768, 8192
"""Patches of a batch, width, latents."""
RELU = Run(S, 0, learning_rate=0.0003, sparsity=0.0008)
TOPK = Run(S, 0, learning_rate=0.0003, sparsity=32)
N_ACTIVE_LATER = 64
"""Latents that a patch activates once ReLU has learned."""
STEP = f"{B:,} patches × {D}, {S:,} latents, float32"
ADAM = "Adam, gradients cut, decoder rows of length 1"
N_ALIKE = 3
"""Steps after which ours and a peer must have moved alike."""

N, P = 512, 196
"""Images and patches on disk."""
N_MIXED = 16_384
"""Patches that are shuffled together."""
N_BATCHES = 16
"""Batches that are streamed, or that a training learns from."""
ON_DISK = f"{N} images × {P} patches × {D} in float16, page cache warm"
S_OF_SWEEP = 2048
SWEEP = [
    Run(S_OF_SWEEP, 0, learning_rate, sparsity)
    for learning_rate, sparsity in product((0.0003, 0.001, 0.003), (32, 64))
]
LAYER = 0


def bench() -> list[Row]:
    """Compare steps on a batch in memory, then trainings on activations on disk."""
    with tempfile.TemporaryDirectory() as folder:
        acts = _record(Path(folder) / "acts.h5")
        scaling = measure_scaling(acts, np.arange(N), _settings(TOPK))
        z_BD = _scale(acts.sample_patches(B, seed=0), scaling)
        with one_core_each() as workers:
            rows = [
                _against_five_products(z_BD, scaling, workers),
                *(
                    _against_autograd(
                        *(work, begin(scaling, z_BD), z_BD, workers),
                        folded=folded,
                        aim=aim,
                    )
                    for work, begin, aim in (
                        ("ReLU step, the first", _first_relu, "≥ 1.5 ×"),
                        ("ReLU step, later", _later_relu, "≥ 1.5 ×"),
                        ("TopK step", _first_topk, "≥ 4 ×"),
                    )
                    for folded in (False, True)
                ),
                _stream_against_step(acts, z_BD, scaling, workers),
                _from_disk_against_memory(acts, z_BD, scaling, workers),
            ]
        return [*rows, *_sweep_against_singles(acts, scaling, Path(folder))]


def _record(path: Path) -> "_CountedActivations":
    """Activations with a falling spectrum, around a mean that is not zero."""
    generator = torch.Generator().manual_seed(0)
    spread_D = torch.arange(1, D + 1) ** -0.5
    axes_DD = torch.linalg.qr(torch.randn(D, D, generator=generator))[0]
    mean_D = torch.randn(D, generator=generator)
    with write_shard(
        path,
        [f"image{i}" for i in range(N)],
        {LAYER: LayerShape(P, D, has_cls=False)},
        "float16",
        {"encoder": "drawn"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        for i in range(0, N, 16):
            normal_BPD = torch.randn(16, P, D, generator=generator)
            shard.write(i, LAYER, (normal_BPD * spread_D) @ axes_DD + mean_D, None)
    return _CountedActivations.open([path], LAYER)


class _CountedActivations(Activations):
    """Activations that know how many of their patches were read."""

    n_read = 0

    def read_runs(self, i_image_R, i_patch_R, n_patches_R, raw_MD) -> None:
        self.n_read += int(n_patches_R.sum())
        super().read_runs(i_image_R, i_patch_R, n_patches_R, raw_MD)


def _settings(run: Run) -> SaeSettings:
    """A constant learning rate, and no latent that dies."""
    return SaeSettings(
        activation="relu" if run is RELU else "topk",
        prefixes="none",
        n_prefixes=1,
        trains="all",
        start="random",
        scale_mean=True,
        scale_norm=True,
        encoder_start=1.0,
        n_scaling=N_MIXED,
        n_patches=N_BATCHES * B,
        batch_size=B,
        n_mixed=N_MIXED,
        n_lr_warmup=0,
        n_lr_decay=0,
        n_sparsity_warmup=0,
        l0_weight=0.0,
        bandwidth=0.0,
        max_gradient_norm=0.03,
        n_until_dead=10**9,
        n_aux=0,
        aux_weight=0.0,
        stream_seed=0,
    )


def _scale(x_BD: Tensor, scaling: Scaling) -> Tensor:
    return x_BD.sub_(scaling.mean_D).div_(scaling.norm)


def _begin(run: Run, scaling: Scaling) -> Learner:
    rows_SD = draw_directions(run.n_prototypes, D, run.seed)
    return Learner.begin(run, _settings(run), scaling, rows_SD)


def _first_relu(scaling: Scaling, _z_BD: Tensor) -> Learner:
    return _begin(RELU, scaling)


def _later_relu(scaling: Scaling, z_BD: Tensor) -> Learner:
    """Biases let as few latents through as in an autoencoder that has learned."""
    learner = _begin(RELU, scaling)
    pre_BS = z_BD @ learner.weights.W_enc_SD.T
    n_silent = B * (S - N_ACTIVE_LATER)
    learner.weights.b_enc_S.fill_(-pre_BS.flatten().kthvalue(n_silent).values)
    return learner


def _first_topk(scaling: Scaling, _z_BD: Tensor) -> Learner:
    return _begin(TOPK, scaling)


def _steps(learner: Learner, workers: Executor) -> Callable[[Tensor], StepLog]:
    """What takes a step on a batch as training does."""
    memory, scratch = Weights.like(learner.weights), Scratch()
    return lambda z_BD: learner.learn(z_BD, memory, workers, scratch)


def _against_five_products(z_BD: Tensor, scaling: Scaling, workers: Executor) -> Row:
    learner = _begin(RELU, scaling)
    step = _steps(learner, workers)
    W_enc_SD, _, W_dec_SD, *_ = learner.weights
    latents_BS = relu(z_BD @ W_enc_SD.T)
    products = [
        _fastest_product(a, b)
        for a, b in (
            (z_BD, W_enc_SD.T),  # the latents
            (latents_BS, W_dec_SD),  # the reconstruction
            (latents_BS.T, z_BD),  # the decoder's gradient
            (z_BD, W_dec_SD.T),  # the gradient by the latents
            (latents_BS.T, z_BD),  # the encoder's gradient
        )
    ]
    times = paired(
        lambda: step(z_BD), lambda: [multiply() for multiply in products], n_pairs=7
    )
    return _row(
        "ReLU step, the first",
        f"{STEP}; the peer writes to memory that it keeps, and has each product's "
        "operands in their fastest layouts",
        "its five products alone, sgemm",
        times,
        "≥ 0.91 ×",
    )


def _fastest_product(a: Tensor, b: Tensor) -> Callable[[], Tensor]:
    """A product whose operands and result lie by rows or columns, as is fastest."""

    def layouts(matrix: Tensor) -> tuple[Tensor, Tensor]:
        return matrix.contiguous(), matrix.T.contiguous().T

    def seconds_at_best(multiply: Callable[[], Tensor]) -> float:
        multiply()
        return min(seconds(multiply) for _ in range(2))

    out = torch.empty(len(a), b.shape[1])
    ways = [
        lambda a=a, b=b, out=out: torch.mm(a, b, out=out)
        for a, b, out in product(layouts(a), layouts(b), layouts(out))
    ]
    return min(ways, key=seconds_at_best)


class _Autograd:
    """The same training as one writes it with torch.

    Args:
        learner: gives the first weights.
        folded: whether b_dec moves into the encoder's bias. Autograd then need not
            multiply once more for the gradient by what the encoder was given.
        fused: torch's Adam in one kernel, or in one per operation.
    """

    def __init__(self, learner: Learner, *, folded: bool, fused: bool):
        self.weights = Weights(
            *(torch.nn.Parameter(tensor.clone()) for tensor in learner.weights)
        )
        self._run, self._settings = learner.run, learner.settings
        self._folded = folded
        rate = learner.run.learning_rate
        self._adam = torch.optim.Adam(self.weights, lr=rate, fused=fused)

    def step(self, z_BD: Tensor) -> float:
        """Take one step; gives the loss, which training must look at."""
        W_dec_SD = self.weights.W_dec_SD
        self._adam.zero_grad()
        loss = self._loss(z_BD)
        loss.backward()
        with torch.no_grad():
            along_S1 = (W_dec_SD.grad * W_dec_SD).sum(1, keepdim=True)
            W_dec_SD.grad -= along_S1 * W_dec_SD
            clip_grad_norm_(self.weights, self._settings.max_gradient_norm)
            self._adam.step()
            W_dec_SD /= W_dec_SD.norm(dim=1, keepdim=True)
        return loss.item()

    def _loss(self, z_BD: Tensor) -> Tensor:
        W_enc_SD, b_enc_S, W_dec_SD, b_dec_D, _ = self.weights
        if self._folded:
            pre_BS = linear(z_BD, W_enc_SD, b_enc_S - W_enc_SD @ b_dec_D)
        else:
            pre_BS = linear(z_BD - b_dec_D, W_enc_SD, b_enc_S)
        if self._settings.activation == "relu":
            latents_BS = relu(pre_BS)
            sparsity_loss = self._run.sparsity * latents_BS.sum() / len(z_BD)
        else:
            l0 = int(self._run.sparsity)
            largest_BL, index_BL = pre_BS.topk(l0, dim=1, sorted=False)
            latents_BS = torch.zeros_like(pre_BS)
            latents_BS = latents_BS.scatter(1, index_BL, relu(largest_BL))
            sparsity_loss = 0.0
        reconstruction_BD = torch.addmm(b_dec_D, latents_BS, W_dec_SD)
        error = mse_loss(reconstruction_BD, z_BD, reduction="sum") / len(z_BD)
        return error + sparsity_loss


def _against_autograd(
    work: str,
    learner: Learner,
    z_BD: Tensor,
    workers: Executor,
    *,
    folded: bool,
    aim: str,
) -> Row:
    start = Weights(*(tensor.clone() for tensor in learner.weights))
    step = _steps(learner, workers)
    peers = [_Autograd(learner, folded=folded, fused=fused) for fused in (False, True)]
    logs = [step(z_BD) for _ in range(N_ALIKE)]
    seconds_of = {
        peer: min(seconds(partial(peer.step, z_BD)) for _ in range(N_ALIKE))
        for peer in peers
    }
    off = max(_off(learner.weights, peer.weights, start) for peer in peers)
    assert off < 0.02, off
    peer = min(peers, key=seconds_of.get)
    what = "autograd" if learner.run is RELU else "`topk` and `scatter`, autograd"
    return _row(
        work,
        f"{STEP}, {logs[-1].l0:,.0f} of them active; {ADAM}; {N_ALIKE} steps agree to"
        f" {off:.0e}",
        f"torch, {what}" + (", b_dec folded into the encoder's bias" * folded),
        paired(lambda: step(z_BD), lambda: peer.step(z_BD), n_pairs=5),
        "" if folded else aim,
    )


@torch.no_grad()
def _off(ours: Weights, theirs: Weights, start: Weights) -> float:
    """How far weights are apart, as a part of how far they have moved."""
    return max(
        float((a - b).norm() / (b - before).norm())
        for a, b, before in zip(ours, theirs, start, strict=True)
    )


def _stream_against_step(
    acts: Activations, z_BD: Tensor, scaling: Scaling, workers: Executor
) -> Row:
    step = _steps(_begin(TOPK, scaling), workers)

    def stream() -> None:
        for _ in islice(_batches(acts), N_BATCHES):
            pass

    def consume() -> None:
        for _ in range(N_BATCHES):
            step(z_BD)

    times = paired(stream, consume, n_pairs=3)
    n_patches = N_BATCHES * B
    return Row(
        work="random batches for training",
        conditions=f"{ON_DISK}; the peer takes TopK steps of {STEP}",
        ours="what the stream gives",
        ours_median=n_patches / times.ours_s,
        peer="what one autoencoder takes",
        peer_median=n_patches / times.peer_s,
        unit="patches/s",
        larger_is_better=True,
        ratio=times.ratio,
        aim="≥ 1 ×",
    )


def _from_disk_against_memory(
    acts: Activations, z_BD: Tensor, scaling: Scaling, workers: Executor
) -> Row:
    from_disk = _steps(_begin(TOPK, scaling), workers)
    from_memory = _steps(_begin(TOPK, scaling), workers)
    waited, total = [], []

    def train_from_disk() -> None:
        batches = _batches(acts)
        total.append(
            seconds(
                lambda: [
                    from_disk(_scale(x_BD, scaling))
                    for x_BD in islice(batches, N_BATCHES)
                ]
            )
        )
        waited.append(batches.waited_s)

    def train_from_memory() -> None:
        for _ in range(N_BATCHES):
            from_memory(z_BD)

    times = paired(train_from_disk, train_from_memory, n_pairs=3)
    share = sum(waited) / sum(total)
    return _row(
        f"TopK, {N_BATCHES} steps",
        f"{STEP}; {ON_DISK}; {share:.1%} of the time is waiting for data",
        "the same steps on one batch in memory",
        times,
        "≥ 0.95 ×",
    )


def _batches(acts: Activations) -> RandomBatches:
    return RandomBatches(
        acts, batch_size=B, seed=0, n_mixed=N_MIXED, first_batch=0, images=None
    )


def _sweep_against_singles(
    acts: _CountedActivations, scaling: Scaling, folder: Path
) -> list[Row]:
    def train(runs: list[Run]) -> list[Learner]:
        learners = {run.name: _begin(run, scaling) for run in runs}
        states = States(folder / "states")
        sweep.train(
            learners,
            *(acts, np.arange(N), np.arange(1), _settings(runs[0])),
            states=states,
            device=torch.device("cpu"),
            save_every_s=math.inf,
            observe=lambda *_: None,
        )
        return list(learners.values())

    def together() -> list[Learner]:
        return train(SWEEP)

    def alone() -> list[Learner]:
        return [learner for run in SWEEP for learner in train([run])]

    n_read, learned = [], []
    for way in (together, alone):
        acts.n_read = 0
        learned.append(way())
        n_read.append(acts.n_read)
    for one, other in zip(*learned, strict=True):
        for tensor, same in zip(one.weights, other.weights, strict=True):
            assert torch.equal(tensor, same), one.run
    conditions = (
        f"TopK, {S_OF_SWEEP:,} latents each, {N_BATCHES} steps of {B:,} patches;"
        f" {ON_DISK}; same weights, bit for bit"
    )
    singles = f"{len(SWEEP)} single runs"
    reads = Row(
        work=f"sweep of {len(SWEEP)}, what it reads",
        conditions=conditions,
        ours="vitproto",
        ours_median=n_read[0],
        peer=singles,
        peer_median=n_read[1],
        unit="patches",
        larger_is_better=False,
        ratio=n_read[1] / n_read[0],
        aim=f"≥ {len(SWEEP)} ×",
    )
    times = paired(together, alone, n_pairs=3)
    return [
        _row(f"sweep of {len(SWEEP)}", conditions, singles, times, "≥ 1 ×"),
        reads,
    ]


def _row(work: str, conditions: str, peer: str, times: Paired, aim: str) -> Row:
    return Row(
        work=work,
        conditions=conditions,
        ours="vitproto",
        ours_median=times.ours_s,
        peer=peer,
        peer_median=times.peer_s,
        unit="s",
        larger_is_better=False,
        ratio=times.ratio,
        aim=aim,
    )


if __name__ == "__main__":
    run_alone(bench)
