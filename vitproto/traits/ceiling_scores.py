"""Files of the scores that supervised probes give to test images.

An HDF5 file with `image_ids` (of the test images), `trait_names` and a table
`{pooling}/n{n_train}-seed{selection_seed}/scores_MT` (float32) for each pooling and
subset. M test images, T traits.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float32

from vitproto.core.hdf5_file import (
    Hdf5Reader,
    open_hdf5,
    whole_hdf5,
    write_attributes,
    write_strings,
)
from vitproto.traits.fitted_probes import TraitProbes
from vitproto.traits.pooled_file import PooledLayer

_WHAT = "not a file of scores"
_REMEDY = "delete it and run probe_traits again"


@contextmanager
def create_ceiling_scores(
    path: Path,
    layer: PooledLayer,
    image_ids: Sequence[str],
    trait_names: Sequence[str],
    code: str,
) -> Iterator[h5py.File]:
    """Create a file for `add_scores`, which appears whole or not at all.

    Args:
        path: the HDF5 file.
        layer: whose pooled activations the probes read.
        image_ids: the test images.
        trait_names: the traits.
        code: the fingerprint of the stage.
    """
    with whole_hdf5(path) as file:
        write_attributes(file, {**asdict(layer), "code": code})
        write_strings(file, "image_ids", image_ids)
        write_strings(file, "trait_names", trait_names)
        yield file


def add_scores(file: h5py.File, pooling: str, probes: Sequence[TraitProbes]) -> None:
    """Write the scores of a pooling's probes."""
    for fitted in probes:
        place = _place(pooling, fitted.n_train, fitted.selection_seed)
        file.create_dataset(place, data=fitted.scores_MT)


class CeilingScores:
    """An open file of the scores of probes; made by `open_ceiling_scores`.

    Attributes:
        path: the file.
        image_ids: the test images, one per row, in the order of the image list.
        trait_names: one per column.
    """

    def __init__(self, file: Hdf5Reader):
        self.path, self._file = file.path, file
        self.image_ids = file.strings("image_ids")
        self.trait_names = file.strings("trait_names")

    def read(
        self, pooling: str, n_train: int, selection_seed: int
    ) -> Float32[np.ndarray, "m t"]:
        """The scores of test images by the probes of a subset; 0 without a probe.

        Raises:
            ValueError: there are none, or the file is damaged.
        """
        place = _place(pooling, n_train, selection_seed)
        scores_MT = self._file.values(place)
        expected = (len(self.image_ids), len(self.trait_names))
        if scores_MT.shape != expected or scores_MT.dtype != np.float32:
            raise self._file.damaged(
                f"{place} is {scores_MT.dtype} of shape {scores_MT.shape}, expected "
                f"float32 of shape {expected}"
            )
        return scores_MT


@contextmanager
def open_ceiling_scores(path: Path, layer: PooledLayer) -> Iterator[CeilingScores]:
    """Open the file of scores that `probe_traits` wrote.

    Raises:
        ValueError: the file is missing or damaged, or holds another layer.
    """
    with open_hdf5(path, _WHAT, _REMEDY) as file:
        attributes = file.attributes()
        stored = {name: attributes.get(name) for name in asdict(layer)}
        if stored != asdict(layer):
            raise ValueError(f"{path} holds {stored}, expected {layer}: {_REMEDY}")
        yield CeilingScores(file)


def _place(pooling: str, n_train: int, selection_seed: int) -> str:
    return f"{pooling}/n{n_train}-seed{selection_seed}/scores_MT"
