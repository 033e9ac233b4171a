"""Read the activations of one layer from all shards of a data set.

Results do not depend on the number of shards. Memory holds only requested activations,
and 4 bytes per patch of the shards that were read: the checksums with which they are
compared. A patch of the data set is a pair (image, patch): images are counted over all
shards in the order of the image list, patches row by row in the image.
"""

import copy
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from torch import Tensor

from vitproto.activations.ahead import ahead
from vitproto.activations.shards import (
    Attribute,
    Shard,
    image_ids_digest,
    read_checksums,
    read_shard,
)
from vitproto.core.checksums import row_checksums
from vitproto.core.unreadable import DamagedError, unreadable

N_THREADS = 2
"""Threads that read. Two saturate a laptop's page cache; for a disk, too, two are
faster than one."""

PER_SHARD = frozenset({"i_shard", "n_images"})
"""Root attributes that differ between the shards of a data set."""

SHARDING = PER_SHARD | {"n_shards"}
"""Root attributes about sharding, which must not affect results."""


class Activations:
    """The patches of one layer of a data set, in shards.

    N images × P patches × D values. `open` reads only metadata; files are opened by the
    first read, so an instance may be pickled, or made before a fork.

    Attributes:
        image_ids: one per image, over all shards.
        n_images: N, the number of images.
        n_patches: P, the patches of an image.
        width: D, the width of the encoder.
        dtype: the type of stored values; readers return float32.
        layer: the block, counted from 0.
        attributes: the root attributes, without those about sharding, and the digest of
            all image files, in order, if the shards have digests.
    """

    def __init__(self, shards: Sequence[Shard], layer: int):
        """Join the shards of a data set, given in order; see `open`."""
        first = shards[0]
        self.image_ids = [image_id for shard in shards for image_id in shard.image_ids]
        self.n_images = len(self.image_ids)
        self.n_patches, self.width = first.n_patches, first.width
        self.dtype = first.dtype
        self.layer = layer
        self.attributes: dict[str, Attribute] = {
            name: value
            for name, value in first.attributes.items()
            if name not in SHARDING
        }
        # It identifies the images that something was fitted to, with any sharding.
        digests = [shard.image_sha256_N for shard in shards]
        if None not in digests:
            joined = b"".join(itertools.chain.from_iterable(digests))
            self.attributes["images_sha256"] = hashlib.sha256(joined).hexdigest()
        self._shards = tuple(shards)
        lengths = [len(shard.offset_N) for shard in shards]
        self._shard_N = np.repeat(np.arange(len(shards), dtype=np.int32), lengths)
        self._row_N = np.concatenate([np.arange(n) for n in lengths])
        self._offset_N = np.concatenate([shard.offset_N for shard in shards])
        self._row_bytes = self.width * self.dtype.itemsize
        self._descriptors: dict[int, int] = {}
        self._checksums: dict[int, np.ndarray] = {}

    @classmethod
    def open(cls, paths: Sequence[Path], layer: int) -> "Activations":
        """Open one layer of all shards of a data set, given in any order.

        Raises:
            ValueError: a shard is missing, given twice, damaged, lacks the layer, or
                was made with other settings than the rest.
        """
        if not paths:
            raise ValueError("no shards were given: pass all shards of a data set")
        shards = [read_shard(path, layer) for path in paths]
        for shard in shards[1:]:
            _check_alike(shards[0], shard)
        shards.sort(key=lambda shard: shard.attributes["i_shard"])
        _check_all_there(shards)
        _check_images(shards)
        return cls(shards, layer)

    def only(self, i_image_N: Integer[np.ndarray, " n"]) -> "Activations":
        """Some of the images, in the given order, as if there were no others.

        Raises:
            ValueError: there is no such image.
        """
        _check_index("image", i_image_N, self.n_images)
        part = copy.copy(self)
        part.image_ids = [self.image_ids[i] for i in i_image_N]
        part.n_images = len(part.image_ids)
        part.attributes = dict(self.attributes)
        part._shard_N = self._shard_N[i_image_N]
        part._offset_N = self._offset_N[i_image_N]
        part._row_N = self._row_N[i_image_N]
        part._descriptors, part._checksums = {}, {}
        return part

    def digest(self) -> str:
        """The SHA-256 of the checksums of all patches: it tells contents apart."""
        together = hashlib.sha256()
        images = np.arange(self.n_images)
        for part in np.split(images, np.flatnonzero(np.diff(self._shard_N)) + 1):
            checksum_NP = self._checksums_of(int(self._shard_N[part[0]]))
            together.update(checksum_NP[self._row_N[part]].tobytes())
        return together.hexdigest()

    def blocks(self, n_images: int) -> Iterator[tuple[int, Float32[Tensor, "b p d"]]]:
        """Read all images in order, `n_images` at a time.

        The next two blocks are read in the background; at most four are in memory.

        Yields:
            The index of a block's first image, and its activations; the last block
            may be shorter.
        """
        firsts = range(0, self.n_images, n_images)
        reads = (partial(self._read_block, i, n_images) for i in firsts)
        yield from zip(
            firsts, ahead(reads, n_threads=N_THREADS, n_ahead=2), strict=True
        )

    def read_patches(
        self, i_image_M: Integer[np.ndarray, " m"], i_patch_M: Integer[np.ndarray, " m"]
    ) -> Float32[Tensor, "m d"]:
        """Read some patches, in the given order.

        Raises:
            ValueError: there is no such image or patch.
        """
        _check_index("image", i_image_M, self.n_images)
        _check_index("patch", i_patch_M, self.n_patches)
        raw_MD = np.empty((len(i_image_M), self.width), self.dtype)
        self.read_runs(i_image_M, i_patch_M, np.ones_like(i_patch_M), raw_MD)
        return torch.from_numpy(widened(raw_MD))

    def read_images(
        self, i_image_N: Integer[np.ndarray, " n"]
    ) -> Float32[Tensor, "n p d"]:
        """Read all patches of some images, in the given order.

        Raises:
            ValueError: there is no such image.
        """
        _check_index("image", i_image_N, self.n_images)
        n_images, first_N = len(i_image_N), np.zeros_like(i_image_N)
        raw_NPD = np.empty((n_images, self.n_patches, self.width), self.dtype)
        raw_MD = raw_NPD.reshape(n_images * self.n_patches, self.width)
        self.read_runs(i_image_N, first_N, first_N + self.n_patches, raw_MD)
        return torch.from_numpy(widened(raw_NPD))

    def sample_patches(self, n_patches: int, seed: int) -> Float32[Tensor, "m d"]:
        """Sample uniformly from all patches, without replacement.

        A larger sample with the same seed starts with the smaller one.

        Args:
            n_patches: the number of patches.
            seed: determines the sample.

        Raises:
            ValueError: there are fewer patches.
        """
        i_M = draw_distinct(self.n_images * self.n_patches, n_patches, seed)
        return self.read_patches(*np.divmod(i_M, self.n_patches))

    def read_runs(
        self,
        i_image_R: Integer[np.ndarray, " r"],
        i_patch_R: Integer[np.ndarray, " r"],
        n_patches_R: Integer[np.ndarray, " r"],
        raw_MD: Float[np.ndarray, "m d"],
    ) -> None:
        """Read runs of neighbouring patches, one run after the other, as stored.

        Args:
            i_image_R: the image of each run.
            i_patch_R: its first patch.
            n_patches_R: its number of patches.
            raw_MD: the output, of type `dtype`, with at least one row per patch.
        """
        end_R = np.cumsum(n_patches_R)
        shard_R = self._shard_N[i_image_R]
        offset_R = self._offset_N[i_image_R] + i_patch_R * self._row_bytes
        runs = np.stack([shard_R, offset_R, end_R - n_patches_R, end_R], axis=1)
        # Ascending offsets are faster, for disks and for the kernel's read-ahead.
        runs = runs[np.lexsort((offset_R, shard_R))]

        def read(part_R4: np.ndarray) -> None:
            part = part_R4.tolist()
            # The kernel reads four times as fast if it knows all runs beforehand.
            for i_shard, offset, start, end in part:
                self._announce(i_shard, offset, (end - start) * self._row_bytes)
            for i_shard, offset, start, end in part:
                self._read(i_shard, offset, raw_MD[start:end])

        with ThreadPoolExecutor(N_THREADS) as executor:
            list(executor.map(read, np.array_split(runs, N_THREADS)))
            # The rows of a run have consecutive patches of its image.
            i_run_M = np.repeat(np.arange(len(runs)), n_patches_R)
            i_patch_M = (
                np.arange(len(i_run_M)) - (end_R - n_patches_R - i_patch_R)[i_run_M]
            )
            i_image_M = i_image_R[i_run_M]
            parts = np.array_split(np.arange(len(i_run_M)), N_THREADS)
            checks = [
                (i_image_M[rows], i_patch_M[rows], raw_MD[rows[0] : rows[-1] + 1])
                for rows in parts
                if len(rows)
            ]
            list(executor.map(self._check, *zip(*checks, strict=True)))

    def _check(
        self, i_image_M: np.ndarray, i_patch_M: np.ndarray, raw_MD: np.ndarray
    ) -> None:
        """Compare patches with their checksums."""
        shard_M, row_M = self._shard_N[i_image_M], self._row_N[i_image_M]
        expected_M = np.empty(len(raw_MD), np.uint32)
        for i_shard in np.unique(shard_M).tolist():
            is_here_M = shard_M == i_shard
            checksum_NP = self._checksums_of(i_shard)
            expected_M[is_here_M] = checksum_NP[row_M[is_here_M], i_patch_M[is_here_M]]
        wrong_W = np.flatnonzero(row_checksums(raw_MD) != expected_M)
        if len(wrong_W):
            i_image = int(i_image_M[wrong_W[0]])
            raise _damaged(
                self._shards[shard_M[wrong_W[0]]],
                f"patch {i_patch_M[wrong_W[0]]} of the image "
                f"{self.image_ids[i_image]!r}, layer {self.layer}, does not match its "
                "checksum",
            )

    def _checksums_of(self, i_shard: int) -> np.ndarray:
        """The checksums of a shard, which the first call reads."""
        checksum_NP = self._checksums.get(i_shard)
        if checksum_NP is None:
            checksum_NP = read_checksums(self._shards[i_shard])
            self._checksums[i_shard] = checksum_NP
        return checksum_NP

    def _read_block(self, i_first: int, n_images: int) -> Tensor:
        """Read images from `i_first` on, contiguous ones with a single read."""
        images = slice(i_first, min(i_first + n_images, self.n_images))
        shard_B, offset_B = self._shard_N[images], self._offset_N[images]
        n_images = len(shard_B)
        raw_BPD = np.empty((n_images, self.n_patches, self.width), self.dtype)
        follows_B = np.diff(offset_B) == self.n_patches * self._row_bytes
        breaks = np.flatnonzero(~follows_B | (np.diff(shard_B) != 0)) + 1
        for a, b in pairwise([0, *breaks.tolist(), n_images]):
            self._read(int(shard_B[a]), int(offset_B[a]), raw_BPD[a:b])
        i_image_M = np.repeat(np.arange(images.start, images.stop), self.n_patches)
        i_patch_M = np.tile(np.arange(self.n_patches), n_images)
        self._check(i_image_M, i_patch_M, raw_BPD.reshape(len(i_image_M), self.width))
        return torch.from_numpy(widened(raw_BPD))

    def _read(self, i_shard: int, offset: int, into: np.ndarray) -> None:
        """Fill an array with the bytes of a shard from `offset` on."""
        bytes_left = memoryview(into.reshape(-1).view(np.uint8))
        descriptor, shard = self._descriptor(i_shard), self._shards[i_shard]
        while bytes_left:
            try:
                n_read = os.preadv(descriptor, [bytes_left], offset)
            except OSError as error:
                damaged = f"{shard.path} cannot be read at byte {offset} ({error})"
                raise unreadable(shard.path, error, damaged) from error
            if n_read == 0:
                raise _changed(shard)
            bytes_left = bytes_left[n_read:]
            offset += n_read

    def _announce(self, i_shard: int, offset: int, n_bytes: int) -> None:
        """Tell the kernel, if possible, that these bytes will be read soon."""
        if hasattr(os, "posix_fadvise"):
            descriptor = self._descriptor(i_shard)
            os.posix_fadvise(descriptor, offset, n_bytes, os.POSIX_FADV_WILLNEED)

    def _descriptor(self, i_shard: int) -> int:
        """The descriptor of a shard's file, which the first call opens."""
        descriptor = self._descriptors.get(i_shard)
        if descriptor is None:
            shard = self._shards[i_shard]
            try:
                opened = os.open(shard.path, os.O_RDONLY)
            except OSError as error:
                gone = f"{shard.path} cannot be opened ({error})"
                raise unreadable(shard.path, error, gone) from error
            stat = os.fstat(opened)
            if (stat.st_size, stat.st_mtime_ns) != (shard.n_bytes, shard.mtime_ns):
                os.close(opened)
                raise _changed(shard)
            # Two threads may open the file at once: the first one's is kept.
            descriptor = self._descriptors.setdefault(i_shard, opened)
            if descriptor != opened:
                os.close(opened)
        return descriptor

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_descriptors": {}, "_checksums": {}}

    def __del__(self) -> None:
        for descriptor in self.__dict__.get("_descriptors", {}).values():
            os.close(descriptor)


def draw_distinct(n_total: int, n_drawn: int, seed: int) -> Integer[np.ndarray, " m"]:
    """Draw distinct numbers below `n_total` uniformly, in random order.

    A larger draw with the same seed starts with the smaller one. Memory grows with
    `n_drawn`, not `n_total`.

    Raises:
        ValueError: `n_drawn` exceeds `n_total`.
    """
    if n_drawn > n_total:
        raise ValueError(
            f"{n_drawn:,} patches are needed, but there are {n_total:,}: use fewer or "
            "record more images"
        )
    rng = np.random.default_rng([seed, 0])
    drawn_M = np.empty(0, np.int64)
    while len(drawn_M) < n_drawn:
        # The size of a round must not depend on n_drawn: a larger draw must start with
        # the smaller one.
        more_M = rng.integers(n_total, size=max(1024, len(drawn_M)))
        drawn_M = np.concatenate([drawn_M, more_M])
        drawn_M = drawn_M[np.sort(np.unique(drawn_M, return_index=True)[1])]
    return drawn_M[:n_drawn]


def widened(raw: Float[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Convert to float32; returns the array itself if it is float32."""
    if raw.dtype == np.float32:
        return raw
    wide = np.empty(raw.shape, np.float32)
    widen_into(raw, wide)
    return wide


def widen_into(raw: Float[np.ndarray, "..."], wide: Float32[np.ndarray, "..."]) -> None:
    """Convert float16 to float32, on the calling thread only.

    torch converts eight times as fast as NumPy. It does not split pieces of 32,768
    values among threads, so its threads stay free for other work.
    """
    raw_V, wide_V = torch.from_numpy(raw).view(-1), torch.from_numpy(wide).view(-1)
    for raw_piece, wide_piece in zip(
        raw_V.split(32_768), wide_V.split(32_768), strict=True
    ):
        wide_piece.copy_(raw_piece)


def _check_alike(first: Shard, other: Shard) -> None:
    """Check that two shards have the same encoder, settings, code and form."""
    expected, came = _description(first), _description(other)
    for name in sorted(expected.keys() | came.keys()):
        if expected.get(name) != came.get(name):
            raise ValueError(
                f"{first.path} and {other.path} were made differently: {name} is "
                f"{expected.get(name)!r} and {came.get(name)!r}. Delete the outdated "
                "one and run record_activations again"
            )


def _description(shard: Shard) -> dict[str, object]:
    own = {name: v for name, v in shard.attributes.items() if name not in PER_SHARD}
    form = (shard.n_patches, shard.width, str(shard.dtype))
    return {**own, "form (patches, width, dtype)": form}


def _check_all_there(shards: list[Shard]) -> None:
    """Check that sorted shards contain each shard of the data set once."""
    n_shards = shards[0].attributes["n_shards"]
    for before, after in pairwise(shards):
        if before.attributes["i_shard"] == after.attributes["i_shard"]:
            raise ValueError(
                f"{before.path} and {after.path} are both shard "
                f"{after.attributes['i_shard']} of {n_shards}: pass only one"
            )
    missing = set(range(n_shards)) - {shard.attributes["i_shard"] for shard in shards}
    if missing:
        raise ValueError(
            f"shards {', '.join(map(str, sorted(missing)))} of {n_shards} are missing "
            f"beside {shards[0].path}: pass all shards, and record the missing ones"
        )


def _check_images(shards: list[Shard]) -> None:
    """Check that the shards hold the images of their image list, each once."""
    shard_of: dict[str, Shard] = {}
    for shard in shards:
        for image_id in shard.image_ids:
            if image_id in shard_of:
                raise ValueError(
                    f"the image {image_id!r} is in {shard_of[image_id].path} and in "
                    f"{shard.path}: image ids must be unique in the image list"
                )
            shard_of[image_id] = shard
    expected = shards[0].attributes["image_ids_sha256"]
    if image_ids_digest(list(shard_of)) != expected:
        raise ValueError(
            f"the {len(shard_of)} image ids in {shards[0].path} and the shards beside "
            f"it are not those that were recorded (their SHA-256 is not {expected}): "
            "delete the shards and run record_activations again"
        )


def _check_index(what: str, i_M: np.ndarray, n: int) -> None:
    if i_M.size and (i_M.min() < 0 or i_M.max() >= n):
        raise ValueError(
            f"{what} indices go from {i_M.min()} to {i_M.max()}, but the "
            f"{'data set' if what == 'image' else 'image'} has {n}: use 0 to {n - 1}"
        )


def _damaged(shard: Shard, why: str) -> DamagedError:
    return DamagedError(
        f"{shard.path} is damaged: {why}. Delete it and run record_activations again"
    )


def _changed(shard: Shard) -> ValueError:
    return ValueError(f"{shard.path} changed while it was being read: run this again")
