"""The file format of recorded activations: one HDF5 file per shard of a data set.

Its root attributes name the encoder, settings and code that made it, and its place in
the data set (see `h5ls -v` or `h5dump -A`). It holds

- `image_ids`: n UTF-8 strings,
- `layer{L}/patches`: n images × P patches × D values, for each layer recorded,
- `layer{L}/checksums`: n images × P patches, a checksum of the bytes of each patch,
- `layer{L}/cls`: n images × D values, where the encoder has a CLS token,
- `image_sha256`: n × 32 bytes, the digest of each image file.

Patches are stored one image per chunk, without compression or filters, so a reader that
knows the offsets of chunks can fetch any patch with one `pread`. Compression would save
a few per cent of space and be ten times slower.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import torch
from jaxtyping import Float, UInt32
from torch import Tensor

from vitproto.activations.image_digests import (
    image_digests_in,
    open_shard,
    write_image_digests,
)
from vitproto.activations.sharding import shard_range
from vitproto.core.checksums import row_checksums
from vitproto.core.hdf5_file import (
    CHECKSUM,
    whole_hdf5,
    write_attributes,
    write_strings,
)

FORMAT = "vitproto activations 2"
"""Root attribute `format` of every shard; its number grows when the layout changes."""

Attribute = str | int | float


@dataclass(frozen=True)
class LayerShape:
    """The shape of an encoder's output for one image at one layer."""

    n_patches: int
    """P, the patches of an image."""
    width: int
    """D, the values of a token."""
    has_cls: bool
    """Whether there is a CLS token."""


@dataclass(frozen=True)
class Shard:
    """The location of one layer's patches in a shard."""

    path: Path
    layer: int
    n_bytes: int
    """Size of the file when it was opened; with `mtime_ns` it shows changes."""
    mtime_ns: int
    attributes: dict[str, Attribute]
    """The root attributes."""
    image_ids: list[str]
    n_patches: int
    width: int
    dtype: np.dtype
    """float32 or float16."""
    offset_N: np.ndarray
    """int64, the byte at which the patches of each image start."""
    image_sha256_N: list[bytes] | None
    """The digest of each image file; None if the shard has none."""


def image_ids_digest(image_ids: Sequence[str]) -> str:
    """A digest of image ids and their order: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(list(image_ids)).encode()).hexdigest()


class ShardWriter:
    """Writes the activations of a shard batch by batch; made by `write_shard`."""

    def __init__(
        self,
        file: h5py.File,
        layers: Mapping[int, LayerShape],
        encoder: str,
        image_ids: list[str],
    ):
        self._file = file
        self._encoder = encoder
        self._image_ids = image_ids
        self._patches = {layer: file[f"layer{layer}/patches"] for layer in layers}
        self._checksums = {
            layer: np.empty((len(image_ids), shape.n_patches), np.uint32)
            for layer, shape in layers.items()
        }
        self._cls = {
            layer: file[f"layer{layer}/cls"]
            for layer, shape in layers.items()
            if shape.has_cls
        }
        self._written = {
            layer: np.zeros(len(self._image_ids), np.bool_) for layer in layers
        }

    def write(
        self,
        i_first: int,
        layer: int,
        patches_BPD: Float[Tensor, "b p d"],
        cls_BD: Float[Tensor, "b d"] | None,
    ) -> None:
        """Write one layer of some images.

        Args:
            i_first: index of the first image in the shard, not in the data set.
            layer: one of the layers of the shard.
            patches_BPD: on any device, in any float type.
            cls_BD: the CLS tokens; None if the encoder has none.

        Raises:
            ValueError: a value is not finite, or too large for float16.
        """
        rows = slice(i_first, i_first + len(patches_BPD))
        assert rows.stop <= len(self._image_ids), (rows, len(self._image_ids))
        assert not self._written[layer][rows].any(), f"written twice: {rows}"
        assert (cls_BD is not None) == (layer in self._cls), "CLS is not as announced"
        raw_BPD = np.ascontiguousarray(self._fitted(patches_BPD, layer, rows))
        self._patches[layer][rows] = raw_BPD
        checksum_M = row_checksums(raw_BPD.reshape(-1, raw_BPD.shape[2]))
        self._checksums[layer][rows] = checksum_M.reshape(raw_BPD.shape[:2])
        if cls_BD is not None:
            self._cls[layer][rows] = self._fitted(cls_BD, layer, rows)
        self._written[layer][rows] = True

    def write_image_digests(self, sha256_N: Sequence[bytes]) -> None:
        """Write the digests of the image files, 32 bytes each."""
        assert len(sha256_N) == len(self._image_ids), len(sha256_N)
        write_image_digests(self._file, sha256_N)

    def _fitted(self, values: Tensor, layer: int, rows: slice) -> np.ndarray:
        """Convert values to the shard's type, and refuse those that do not fit."""
        dtype = self._patches[layer].dtype
        limit = float(np.finfo(dtype).max)
        low, high = torch.aminmax(values)
        # All comparisons with NaN are false, so this condition is true for NaN.
        if not (low >= -limit and high <= limit):
            worst_B = values.detach().abs().flatten(1).amax(1)  # NaN propagates
            i_bad = int(torch.nonzero(~(worst_B <= limit))[0])
            raise ValueError(
                f"{self._encoder}, layer {layer}, image "
                f"{self._image_ids[rows.start + i_bad]!r}: an activation of size "
                f"{worst_B[i_bad]:g} cannot be stored as {dtype}, whose maximum is "
                f"{limit:,.0f}: {_cure(float(worst_B[i_bad]))}"
            )
        wanted = torch.float16 if dtype == np.float16 else torch.float32
        return values.detach().to(wanted).cpu().numpy()

    def finish(self) -> None:
        """Write the checksums; every image of every layer must have been written."""
        for layer, written_N in sorted(self._written.items()):
            n_missing = int((~written_N).sum())
            assert n_missing == 0, f"layer {layer}: {n_missing} images never written"
            checksum_NP = self._checksums[layer]
            self._file.create_dataset(f"layer{layer}/checksums", data=checksum_NP)


@contextmanager
def write_shard(
    path: Path,
    image_ids: Sequence[str],
    layers: Mapping[int, LayerShape],
    dtype: Literal["float32", "float16"],
    attributes: Mapping[str, Attribute],
    *,
    i_shard: int,
    n_shards: int,
) -> Iterator[ShardWriter]:
    """Write one shard; the file appears when the block ends without an error.

    The same activations give the same bytes.

    Args:
        path: the path of the shard.
        image_ids: all images of the data set; `shard_range` gives those of the shard.
        layers: the layers to write (blocks counted from 0).
        dtype: how to store values. float16 halves the size, with a relative error of
            5e-4 and a maximum of 65,504.
        attributes: what made the activations (encoder, preprocessing, settings, code
            fingerprint); must include `encoder`.
        i_shard: index of the shard, from 0.
        n_shards: number of shards.

    Raises:
        ValueError: the shard would be empty.
    """
    of_shard = shard_range(len(image_ids), i_shard, n_shards)
    place: dict[str, Attribute] = {
        "format": FORMAT,
        "layer_numbering": "blocks counted from 0",
        "n_images": len(of_shard),
        "i_shard": i_shard,
        "n_shards": n_shards,
        "n_images_total": len(image_ids),
        "image_ids_sha256": image_ids_digest(image_ids),
    }
    assert "encoder" in attributes, "the attributes must name the encoder"
    assert not place.keys() & attributes.keys(), "these attributes are ours to set"
    with whole_hdf5(path) as file:
        write_attributes(file, dict(sorted({**attributes, **place}.items())))
        ids = [image_ids[i] for i in of_shard]
        write_strings(file, "image_ids", ids)
        for layer, shape in sorted(layers.items()):
            _create_layer(file, layer, shape, len(of_shard), dtype)
        writer = ShardWriter(file, layers, str(attributes["encoder"]), ids)
        yield writer
        writer.finish()


def read_shard(path: Path, layer: int) -> Shard:
    """Locate the patches of a layer in a shard; reads only metadata.

    Raises:
        ValueError: the file is missing, damaged or not a shard, or lacks the layer.
    """
    if not path.is_file():
        raise ValueError(f"there is no shard {path}: run record_activations to make it")
    with open_shard(path) as shard:
        attributes = shard.attributes()
        _check_format(path, attributes, shard.names(), layer)
        patches = shard.dataset(f"layer{layer}/patches")
        image_ids = shard.strings("image_ids")
        with shard.naming_damage():
            n_images = attributes["n_images"]
            if patches.shape[:1] != (n_images,) or patches.ndim != 3:
                raise ValueError(
                    f"expected {n_images} images, found patches of shape "
                    f"{patches.shape}"
                )
            if len(image_ids) != n_images:
                raise ValueError(f"expected {n_images} images, found {len(image_ids)}")
            if patches.dtype not in (np.float32, np.float16):
                raise ValueError(
                    f"patches are {patches.dtype}, expected float32 or float16"
                )
            stat = path.stat()
            offset_N = _chunk_offsets(patches, stat.st_size)
        return Shard(
            path=path,
            layer=layer,
            n_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            attributes=attributes,
            image_ids=image_ids,
            n_patches=patches.shape[1],
            width=patches.shape[2],
            dtype=patches.dtype,
            offset_N=offset_N,
            image_sha256_N=image_digests_in(shard),
        )


def read_checksums(shard: Shard) -> UInt32[np.ndarray, "n p"]:
    """Read the checksum of each patch.

    Raises:
        ValueError: they are missing or damaged.
    """
    with open_shard(shard.path) as file:
        checksum_NP = file.values(f"layer{shard.layer}/checksums")
        expected = (len(shard.image_ids), shard.n_patches)
        if checksum_NP.shape != expected or checksum_NP.dtype != np.uint32:
            raise file.damaged(
                f"checksums are {checksum_NP.dtype} of shape {checksum_NP.shape}"
            )
    return checksum_NP


def _check_format(
    path: Path, attributes: Mapping[str, Attribute], names: Sequence[str], layer: int
) -> None:
    """Check that a file has the format of today and the layer."""
    if attributes.get("format") != FORMAT:
        raise ValueError(
            f"{path} has the format {attributes.get('format')!r}, expected "
            f"{FORMAT!r}: delete it and run record_activations again"
        )
    if f"layer{layer}" not in names:
        has = sorted(int(name[5:]) for name in names if name.startswith("layer"))
        raise ValueError(
            f"{path} holds the layers {', '.join(map(str, has))}, not {layer}: record "
            f"layer {layer} too, or use one of these"
        )


def _chunk_offsets(patches: h5py.Dataset, n_file_bytes: int) -> np.ndarray:
    """The byte at which each image's patches start; checks the chunk table."""
    n_images, n_chunk_values = patches.shape[0], math.prod(patches.shape[1:])
    if patches.chunks != (1, *patches.shape[1:]):
        raise ValueError(f"chunks are {patches.chunks}, expected one image in each")
    n_chunk_bytes = n_chunk_values * patches.dtype.itemsize
    offset_N = np.full(n_images, -1, np.int64)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.filter_mask == 0 and chunk.size == n_chunk_bytes:
            offset_N[chunk.chunk_offset[0]] = chunk.byte_offset

    patches.id.chunk_iter(note)
    n_missing = int((offset_N < 0).sum())
    if n_missing or patches.id.get_create_plist().get_nfilters():
        raise ValueError(f"{n_missing} of {n_images} images are missing or compressed")
    end = int(offset_N.max()) + n_chunk_bytes
    if end > n_file_bytes:
        raise ValueError(f"it has {n_file_bytes:,} bytes, its patches end at {end:,}")
    return offset_N


def _create_layer(
    file: h5py.File, layer: int, shape: LayerShape, n_images: int, dtype: str
) -> None:
    """Allocate the space of one layer, contiguous in the file."""
    group = file.create_group(f"layer{layer}")
    kind = h5py.h5t.IEEE_F16LE if dtype == "float16" else h5py.h5t.IEEE_F32LE
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((1, shape.n_patches, shape.width))
    # Allocated early, the chunks of a layer are contiguous although batches of several
    # layers alternate: reading in order is then one long read.
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    space = h5py.h5s.create_simple((n_images, shape.n_patches, shape.width))
    h5py.h5d.create(group.id, b"patches", kind, space, dcpl=layout)
    write_attributes(group["patches"], {CHECKSUM: "of each patch, in checksums"})
    if shape.has_cls:
        group.create_dataset("cls", (n_images, shape.width), dtype)


def _cure(size: float) -> str:
    if math.isfinite(size) and size <= float(np.finfo(np.float32).max):
        return "set the activations' dtype to float32"
    return "the encoder itself overflows; compute it in float32 and check its weights"
