"""Linear probes: pixels counted without upsampling all logits, and a sweep's training.

The peers are torch: `interpolate`, `argmax` and `bincount`, and a loop with autograd
and `torch.optim.AdamW` for each probe.
"""

import tempfile
from concurrent.futures import Executor
from itertools import product
from pathlib import Path

import numpy as np
import torch
from timing import Paired, Row, paired, run_alone, seconds
from torch.nn.functional import cross_entropy, interpolate

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.shards import LayerShape, write_shard
from vitproto.activations.stream import Activations
from vitproto.core.threads import one_core_each
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.probes.linear_probe import LinearProbe, TrainedProbe
from vitproto.segmentation.probes.pixels import PixelCounts, count_pixels
from vitproto.segmentation.probes.training import (
    ProbeSettings,
    Scale,
    measure_scale,
    train_probes,
)

GRID, SIDE, C = (16, 16), 16, 150
"""Rows and columns of patches, pixels of a patch's side, classes: as in ADE20K."""
P = GRID[0] * GRID[1]
M, E = 2, 8
"""Images, and probes whose predictions for each of them are counted."""
N, D = 64, 768
"""Images and width of the activations that probes learn from."""
LAYER = 0
SWEEP = ProbeSettings(
    learning_rates=(3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    weight_decays=(1e-1, 1e-3, 1e-5),
    n_epochs=1,
    batch_size=2048,
    n_mixed=16_384,
    n_scaling=8192,
    held_out_every=N,
    seed=0,
)
"""The last image is held out."""
LEARNT_N = np.arange(N - 1)
CPU = torch.device("cpu")


def bench() -> list[Row]:
    """Compare counting on two kinds of logits, then training."""
    with one_core_each() as workers:
        rows = [
            _count(workers, "noise: of all logits, as of an untrained probe", 0, ""),
            _count(workers, "regions of 4 × 4 patches with noise", 4, "≥ 10 ×"),
        ]
    return [*rows, _sweep_against_singles()]


def _count(workers: Executor, what: str, strength: float, aim: str) -> Row:
    """Count on noise, to which the class of a region adds `strength` deviations."""
    rng = np.random.default_rng(0)
    logits_MEPC = rng.standard_normal((M, E, P, C)).astype("f4")
    coarse_MRS = rng.integers(0, C, (M, GRID[0] // 4, GRID[1] // 4))
    class_MRS = coarse_MRS.repeat(4, 1).repeat(4, 2)
    class_M1P1 = class_MRS.reshape(M, 1, P, 1)
    own_MEP1 = np.take_along_axis(logits_MEPC, class_M1P1, axis=3) + strength
    np.put_along_axis(logits_MEPC, class_M1P1, own_MEP1, axis=3)
    mask_MHW = (class_MRS + 1).repeat(SIDE, 1).repeat(SIDE, 2).astype(np.uint16)
    mask_MHW[:, :: SIDE // 4] = 0

    def ours() -> list[PixelCounts]:
        grids = [GRID] * M
        return list(workers.map(count_pixels, logits_MEPC, mask_MHW, grids))

    def peer() -> list[PixelCounts]:
        return list(map(_count_upsampled, logits_MEPC, mask_MHW))

    for our, their in zip(ours(), peer(), strict=True):
        for one, other in zip(our, their, strict=True):
            # Pixels at which two classes are equal but for rounding may differ.
            assert abs(one - other).sum() <= 1e-4 * mask_MHW.size, abs(one - other)
    times = paired(ours, peer, n_pairs=3)
    conditions = (
        f"{M} images × {E} probes, {GRID[0]} × {GRID[1]} patches, "
        f"{GRID[0] * SIDE} × {GRID[1] * SIDE} pixels, {C} classes; {what}"
    )
    return _row(
        "pixels counted",
        conditions,
        "torch: `interpolate`, `argmax`, `bincount`",
        times,
        aim,
    )


def _count_upsampled(logits_EPC: np.ndarray, mask_HW: np.ndarray) -> PixelCounts:
    """An edit at a time: all at once, torch takes longer."""
    true_X = torch.from_numpy(mask_HW.astype(np.int64)).flatten() - 1
    is_labelled_X = true_X >= 0
    true_X = true_X[is_labelled_X]
    predicted, hit = [], []
    for logits_PC in torch.from_numpy(logits_EPC):
        # Classes first in memory, too: otherwise torch takes three times as long.
        logits_1CRS = logits_PC.T.contiguous().unflatten(1, GRID)[None]
        logits_CHW = interpolate(
            logits_1CRS, mask_HW.shape, mode="bilinear", align_corners=False
        )[0]
        class_X = logits_CHW.argmax(0).flatten()[is_labelled_X]
        predicted.append(torch.bincount(class_X, minlength=C))
        hit.append(torch.bincount(class_X[class_X == true_X], minlength=C))
    return PixelCounts(torch.stack(predicted).numpy(), torch.stack(hit).numpy())


def _sweep_against_singles() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        acts, labels = _record(Path(folder) / "acts.h5")
        scale = measure_scale(acts, LEARNT_N, SWEEP)
        pairs = list(product(SWEEP.learning_rates, SWEEP.weight_decays))

        def ours() -> list[TrainedProbe]:
            return train_probes(acts, labels, SWEEP, CPU)

        times_alone = {
            fused: seconds(
                lambda fused=fused: _train_alone(acts, labels, scale, *pairs[0], fused)
            )
            for fused in (False, True, False, True)
        }
        fused = min(times_alone, key=times_alone.get)

        def peer() -> list[LinearProbe]:
            return [_train_alone(acts, labels, scale, *pair, fused) for pair in pairs]

        x_PD = acts.read_images(np.array([0]))[0]
        for one, alone in zip(ours(), peer(), strict=True):
            off = (one.probe(x_PD) - alone(x_PD)).norm() / alone(x_PD).norm()
            assert off < 0.01, (one, off)
        times = paired(ours, peer, n_pairs=3)
    n_steps = (N - 1) * P // SWEEP.batch_size
    conditions = (
        f"{C} classes, {n_steps} steps of {SWEEP.batch_size:,} patches × {D}, a tenth "
        "unlabelled, from disk, float16, page cache warm; ours measures the scale of "
        "activations too"
    )
    return _row(
        f"sweep of {len(pairs)} probes",
        conditions,
        f"{len(pairs)} loops with autograd and `torch.optim.AdamW`",
        times,
        "≥ 1 ×",
    )


def _train_alone(
    acts: Activations,
    labels: PatchLabels,
    scale: Scale,
    rate: float,
    decay: float,
    fused: bool,
) -> LinearProbe:
    """One probe, as one writes it with torch."""
    linear = torch.nn.Linear(D, C)
    for parameter in linear.parameters():
        torch.nn.init.zeros_(parameter)
    groups = [
        {"params": [linear.weight], "weight_decay": decay},
        {"params": [linear.bias], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=rate, fused=fused)
    label_M = torch.from_numpy(labels.labels_NP.reshape(-1).astype(np.int64))
    batches = RandomBatches(
        acts,
        batch_size=SWEEP.batch_size,
        seed=SWEEP.seed,
        n_mixed=SWEEP.n_mixed,
        first_batch=0,
        images=LEARNT_N,
    )
    n_steps = (N - 1) * P // SWEEP.batch_size
    for _, (x_BD, place_B) in zip(range(n_steps), batches.with_places(), strict=False):
        z_BD = x_BD.sub_(scale.mean_D).div_(scale.norm)
        loss = cross_entropy(linear(z_BD), label_M[place_B] - 1, ignore_index=-1)
        adam.zero_grad()
        loss.backward()
        adam.step()
        loss.item()
    with torch.no_grad():
        return scale.fold(linear.weight, linear.bias)


def _record(path: Path) -> tuple[Activations, PatchLabels]:
    """Activations with a direction for each class; there are no test images."""
    generator = torch.Generator().manual_seed(0)
    label_NP = torch.randint(1, C + 1, (N, P), generator=generator)
    label_NP[torch.rand(N, P, generator=generator) < 0.1] = 0
    direction_LD = torch.randn(C + 1, D, generator=generator)
    image_ids = [f"image{i}" for i in range(N)]
    with write_shard(
        path,
        image_ids,
        {LAYER: LayerShape(P, D, has_cls=False)},
        "float16",
        {"encoder": "drawn"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        for i, label_P in enumerate(label_NP):
            noise_PD = torch.randn(P, D, generator=generator)
            x_PD = direction_LD[label_P] + 3 * noise_PD
            shard.write(i, LAYER, x_PD[None], None)
    labels = PatchLabels(
        image_ids=image_ids,
        is_train_N=np.ones(N, np.bool_),
        classes=[f"class {label}" for label in range(1, C + 1)],
        labels_NP=label_NP.numpy().astype(np.uint16),
        purity_NP=np.ones((N, P), np.float32),
        masks_MHW=np.zeros((0, GRID[0] * SIDE, GRID[1] * SIDE), np.uint16),
    )
    return Activations.open([path], LAYER), labels


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
