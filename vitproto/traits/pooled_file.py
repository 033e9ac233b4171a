"""Files of pooled activations.

An HDF5 file with `image_ids`, `max_ND` and `mean_ND` (float32). Root attributes say of
which data set, encoder and layer. N images, D dimensions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32

from vitproto.core.hdf5_file import (
    open_hdf5,
    whole_hdf5,
    write_attributes,
    write_strings,
)
from vitproto.traits.poolings import POOLINGS

_WHAT = "not a file of pooled activations"
_REMEDY = "delete it and run pool_activations again"


@dataclass(frozen=True)
class PooledLayer:
    """The layer whose activations a file holds, pooled."""

    dataset: str
    """The data set whose images are pooled."""
    encoder: str
    """The encoder that recorded the activations."""
    layer: int
    """The block whose output they are, counted from 0."""


@dataclass(frozen=True)
class PooledActivations:
    """The pooled activations of all images of a data set."""

    image_ids: list[str]
    """One per row, in the order of the image list."""
    pooled: dict[str, Float32[np.ndarray, "n d"]]
    """By the names of `POOLINGS`."""


@contextmanager
def create_pooled(
    path: Path, layer: PooledLayer, image_ids: Sequence[str], width: int, code: str
) -> Iterator[list[h5py.Dataset]]:
    """Create a file of pooled activations, which appears whole or not at all.

    Args:
        path: the HDF5 file.
        layer: whose activations they are.
        image_ids: the images, in the order of the activations.
        width: dimensions of the activations.
        code: the fingerprint of the stage.

    Yields:
        Empty tables of N images × D dimensions, in the order of `POOLINGS`.
    """
    with whole_hdf5(path) as file:
        n_images = len(image_ids)
        write_attributes(file, {**asdict(layer), "code": code, "n_images": n_images})
        write_strings(file, "image_ids", image_ids)
        shape = (len(image_ids), width)
        yield [file.create_dataset(f"{name}_ND", shape, "f4") for name in POOLINGS]


def read_pooled(path: Path, layer: PooledLayer) -> PooledActivations:
    """Read what `create_pooled` wrote.

    Raises:
        ValueError: the file is missing or damaged, or holds another layer.
    """
    with open_hdf5(path, _WHAT, _REMEDY) as file:
        attributes = file.attributes()
        stored = {name: attributes.get(name) for name in asdict(layer)}
        n_images = attributes.get("n_images")
        image_ids = file.strings("image_ids")
        pooled = {name: file.values(f"{name}_ND") for name in POOLINGS}
        shapes = {table.shape for table in pooled.values()}
        if len(shapes) > 1 or {len(image_ids), min(shapes)[0]} != {n_images}:
            raise file.damaged(
                f"{n_images} images were pooled, {len(image_ids)} are listed, and the "
                f"tables have the shapes {sorted(shapes)}"
            )
    if stored != asdict(layer):
        raise ValueError(
            f"{path} holds {_name(stored)}, expected {_name(asdict(layer))}: {_REMEDY}"
        )
    return PooledActivations(image_ids, pooled)


def _name(layer: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in layer.items())
