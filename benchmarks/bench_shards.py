"""Shards: reading in order and random batches, against h5py and a memory map."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import torch
from timing import Row, paired, run_alone

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.shards import LayerShape, read_shard, write_shard
from vitproto.activations.stream import Activations
from vitproto.prototypes.gaussian import draw_directions
from vitproto.prototypes.scorer import DotProduct
from vitproto.traits.image_scores import score_blocks

N, P, D = 1024, 256, 768
BLOCK = 8
BATCH, MIXED = 4096, 65_536
SIZES = f"{N:,} images × {P} patches × {D}"
WARM = "page cache warm"


def bench() -> list[Row]:
    """Compare the readers on 0.8 GB of float32 and 0.4 GB of float16."""
    with tempfile.TemporaryDirectory() as folder:
        single, half = Path(folder) / "single.h5", Path(folder) / "half.h5"
        _write(single, "float32")
        _write(half, "float16")
        return [
            *_in_order(single),
            *_in_order_float16(half),
            *_random_batches(single),
            *_cold(single),
            *_checksums(half),
        ]


class _Unchecked(Activations):
    """Reads the same without comparing checksums."""

    def _check(self, *_: object) -> None:
        pass


def _write(path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    with write_shard(
        path,
        [str(i) for i in range(N)],
        {0: LayerShape(P, D, has_cls=False)},
        dtype,
        {"encoder": "noise"},
        i_shard=0,
        n_shards=1,
    ) as shard:
        for i in range(0, N, 16):
            x_BPD = rng.standard_normal((16, P, D), np.float32)
            shard.write(i, 0, torch.from_numpy(x_BPD), None)


def _in_order(path: Path) -> list[Row]:
    """Every image once, in blocks, as float32."""
    acts = Activations.open([path], 0)
    patches = h5py.File(path, locking=False)["layer0/patches"]
    mapped_NPD = _memory_map(path)
    block_BPD = np.empty((BLOCK, P, D), np.float32)
    image_bytes = block_BPD[0].reshape(-1).view(np.uint8)

    def read_direct() -> None:
        for i in range(0, N, BLOCK):
            patches.read_direct(block_BPD, np.s_[i : i + BLOCK])

    def slabs() -> None:
        for i in range(0, N, BLOCK):
            patches[i : i + BLOCK]

    def raw_chunks() -> None:
        for i in range(N):
            patches.id.read_direct_chunk((i, 0, 0), out=image_bytes)

    def memory_map() -> None:
        for i in range(0, N, BLOCK):
            np.copyto(block_BPD, mapped_NPD[i : i + BLOCK])

    def ours() -> None:
        for _ in acts.blocks(BLOCK):
            pass

    for i, x_BPD in acts.blocks(BLOCK):
        np.testing.assert_array_equal(x_BPD, patches[i : i + BLOCK])
        np.testing.assert_array_equal(x_BPD, mapped_NPD[i : i + BLOCK])
    conditions = f"{SIZES}, float32, {WARM}, blocks of {BLOCK} images"
    peers = {
        "h5py, `read_direct` into one buffer": (read_direct, "≥ 2 ×"),
        "h5py, slices": (slabs, "≥ 2 ×"),
        "h5py, `read_direct_chunk` into one buffer": (raw_chunks, ""),
        "NumPy memory map, copied into one buffer": (memory_map, ""),
    }
    return [
        _row("read in order", conditions, ours, name, peer, aim, N * P * D * 4, "GB/s")
        for name, (peer, aim) in peers.items()
    ]


def _in_order_float16(path: Path) -> list[Row]:
    """Every image once, stored as float16, wanted as float32."""
    acts = Activations.open([path], 0)
    patches = h5py.File(path, locking=False)["layer0/patches"]
    raw_BPD = np.empty((BLOCK, P, D), np.float16)
    wide_BPD = torch.empty((BLOCK, P, D))

    def read_and_convert() -> None:
        for i in range(0, N, BLOCK):
            patches.read_direct(raw_BPD, np.s_[i : i + BLOCK])
            wide_BPD.copy_(torch.from_numpy(raw_BPD))

    def ours() -> None:
        for _ in acts.blocks(BLOCK):
            pass

    for i, x_BPD in acts.blocks(BLOCK):
        np.testing.assert_array_equal(x_BPD, patches[i : i + BLOCK].astype("f4"))
    return [
        _row(
            "read in order",
            f"{SIZES}, float16 to float32 (GB of float32), {WARM}",
            ours,
            "h5py, `read_direct`, then torch converts",
            read_and_convert,
            "",
            N * P * D * 4,
            "GB/s",
        )
    ]


def _random_batches(path: Path) -> list[Row]:
    """Two epochs of shuffled batches, each patch once per epoch."""
    n_batches = 2 * N * P // BATCH
    acts = Activations.open([path], 0)
    patches = h5py.File(path, locking=False)["layer0/patches"]
    mapped_MD = _memory_map(path).reshape(-1, D)
    pool_MD = np.empty((MIXED, D), np.float32)
    batch_BD = np.empty((BATCH, D), np.float32)

    def ours() -> None:
        _consume(acts, n_batches)

    def h5py_runs() -> None:
        """Our way of shuffling, but read by h5py and without a thread."""
        rng = np.random.default_rng(0)
        for _ in range(2):
            for run_R in np.array_split(rng.permutation(N * P // 32), N * P // MIXED):
                for k, run in enumerate(run_R.tolist()):
                    i, first = divmod(run * 32, P)
                    patches.read_direct(
                        pool_MD,
                        np.s_[i, first : first + 32],
                        np.s_[k * 32 : (k + 1) * 32],
                    )
                for row_B in rng.permutation(MIXED).reshape(-1, BATCH):
                    np.take(pool_MD, row_B, axis=0, out=batch_BD, mode="clip")

    def memory_map() -> None:
        """Patches wherever they lie: ideal mixing, as long as memory holds all."""
        rng = np.random.default_rng(0)
        for _ in range(2):
            for row_B in rng.permutation(N * P).reshape(-1, BATCH):
                np.take(mapped_MD, row_B, axis=0, out=batch_BD, mode="clip")

    conditions = f"{SIZES}, float32, {WARM}, batches of {BATCH:,}"
    peers = {
        "h5py, the same shuffle, one thread": h5py_runs,
        "NumPy memory map, `take`": memory_map,
    }
    return [
        _row(
            "random batches",
            conditions,
            ours,
            name,
            peer,
            "ours ≥ 400,000 patches/s",
            n_batches * BATCH * 1e9,
            "patches/s",
        )
        for name, peer in peers.items()
    ]


def _cold(path: Path) -> list[Row]:
    """One pool of random patches, straight from the disk."""
    acts = Activations.open([path], 0)
    row_B = np.random.default_rng(0).permutation(N * P)[:MIXED]

    def ours() -> None:
        _drop_from_cache(path)
        _consume(acts, MIXED // BATCH)

    def memory_map() -> None:
        _drop_from_cache(path)
        mapped_MD = _memory_map(path).reshape(-1, D)
        batch_BD = np.empty((BATCH, D), np.float32)
        for i in range(0, MIXED, BATCH):
            np.take(mapped_MD, row_B[i : i + BATCH], axis=0, out=batch_BD, mode="clip")

    return [
        _row(
            f"random batches, the first {MIXED:,} patches",
            f"{SIZES}, float32, page cache dropped by `posix_fadvise`; what lies "
            "beneath (a virtual disk, its host's cache) is not ours to drop",
            ours,
            "NumPy memory map, `take`",
            memory_map,
            "",
            MIXED * 1e9,
            "patches/s",
            n_pairs=3,
        )
    ]


def _checksums(path: Path) -> list[Row]:
    """What comparing every patch with its checksum costs."""
    checked, unchecked = Activations.open([path], 0), _Unchecked.open([path], 0)
    n_batches = N * P // BATCH

    def score(acts: Activations, n_prototypes: int) -> None:
        scorer = DotProduct(draw_directions(n_prototypes, D, seed=0))
        for _ in score_blocks(acts, [scorer], torch.device("cpu")):
            pass

    works = {
        "read in order": lambda acts: list(map(len, acts.blocks(BLOCK))),
        "random batches": lambda acts: _consume(acts, n_batches),
        "score images, 128 prototypes": lambda acts: score(acts, 128),
        "score images, 2,048 prototypes": lambda acts: score(acts, 2048),
    }
    rows = []
    for work, run in works.items():
        calls = [partial(run, acts) for acts in (checked, unchecked)]
        aim = "≥ 0.95 ×" if "score" in work else ""
        conditions = f"{SIZES}, float16, {WARM}"
        names = "the same without checksums", calls[1], aim
        rows.append(_row(work, conditions, calls[0], *names, N * P * 1e9, "patches/s"))
    return rows


def _consume(acts: Activations, n_batches: int) -> None:
    batches = RandomBatches(
        acts, batch_size=BATCH, seed=0, n_mixed=MIXED, first_batch=0
    )
    for _ in islice(batches, n_batches):
        pass


def _memory_map(path: Path) -> np.ndarray:
    """The patches, which lie in one piece, as a memory map."""
    offset = int(read_shard(path, 0).offset_N[0])
    return np.memmap(path, np.float32, "r", offset=offset, shape=(N, P, D))


def _drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _row(
    work: str,
    conditions: str,
    ours: Callable[[], object],
    peer_name: str,
    peer: Callable[[], object],
    aim: str,
    amount: float,
    unit: str,
    n_pairs: int = 7,
) -> Row:
    """Time both; `amount` is in billionths of the unit times a second."""
    times = paired(ours, peer, n_pairs=n_pairs)
    return Row(
        work=work,
        conditions=conditions,
        ours="vitproto",
        ours_median=amount / 1e9 / times.ours_s,
        peer=peer_name,
        peer_median=amount / 1e9 / times.peer_s,
        unit=unit,
        larger_is_better=True,
        ratio=times.ratio,
        aim=aim,
    )


if __name__ == "__main__":
    run_alone(bench)
