"""How often each latent is active, read from the files that evaluation writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float64

from vitproto.study.run import Run


@dataclass(frozen=True)
class LatentFrequencies:
    """How often the latents of one autoencoder are active on held-out patches."""

    encoder: str
    layer: int
    method: str
    run: Run
    n_patches: int
    frequency_S: Float64[np.ndarray, " s"]


def read_frequencies(paths: Sequence[Path]) -> list[LatentFrequencies]:
    """How often is each latent active, in all autoencoders?

    Args:
        paths: HDF5 files of evaluate_saes.py, in any order.

    Returns:
        Sorted by encoder, layer, method and run.

    Raises:
        ValueError: no file was named, one is no such file, or an autoencoder stands
            there twice.
    """
    if not paths:
        raise ValueError("no file of latents was named: name those of evaluate_saes")
    found = [one for path in sorted(paths) for one in _read_file(path)]
    found.sort(key=_key)
    for before, after in pairwise(found):
        if _key(before) == _key(after):
            raise ValueError(
                f"{after.run.name} of {after.method}, {after.encoder} layer "
                f"{after.layer}, stands twice in the files of latents: give each once"
            )
    return found


def _key(one: LatentFrequencies) -> tuple[str, int, str, Run]:
    return one.encoder, one.layer, one.method, one.run


def _read_file(path: Path) -> list[LatentFrequencies]:
    with h5py.File(path, "r") as file:
        if "n_patches" not in file.attrs:
            raise ValueError(f"{path} is no file of evaluate_saes: name its latents.h5")
        return [
            LatentFrequencies(
                encoder=str(file.attrs["encoder"]),
                layer=int(file.attrs["layer"]),
                method=str(file.attrs["method"]),
                run=Run.parse(name),
                n_patches=int(file.attrs["n_patches"]),
                frequency_S=group["frequency_S"][:],
            )
            for name, group in file.items()
        ]
