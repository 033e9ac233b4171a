"""Frequencies of latents, read from the files that evaluation writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from vitproto.core.hdf5_file import open_hdf5
from vitproto.report.shared.runs import check_no_repeats, name_run
from vitproto.study.family import Family
from vitproto.study.run import Run


@dataclass(frozen=True)
class LatentFrequencies:
    """Share of held-out patches on which each latent of an autoencoder is active."""

    family: Family
    run: Run
    n_patches: int
    frequency_S: Float64[np.ndarray, " s"]


def read_frequencies(paths: Sequence[Path]) -> list[LatentFrequencies]:
    """Read how often each latent of all autoencoders is active.

    Args:
        paths: HDF5 files of evaluate_saes.py, in any order.

    Returns:
        Sorted by encoder, layer, method and run.

    Raises:
        ValueError: no file was named, a file is not one of evaluate_saes.py, or an
            autoencoder is there twice.
    """
    if not paths:
        raise ValueError("no file of latents was named: name those of evaluate_saes")
    autoencoders = [sae for path in sorted(paths) for sae in _read_latents(path)]
    names = [name_run(sae.family, sae.run) for sae in autoencoders]
    check_no_repeats(names, "the files of latents")
    return sorted(autoencoders, key=lambda sae: (sae.family, sae.run))


def _read_latents(path: Path) -> list[LatentFrequencies]:
    remedy = "name its latents.h5, or delete it and run evaluate_saes again"
    with open_hdf5(path, "not a file of evaluate_saes", remedy) as file:
        attributes = file.attributes()
        names = file.names()
        with file.naming_damage():
            family = Family(
                str(attributes["encoder"]),
                int(attributes["layer"]),
                str(attributes["method"]),
            )
            return [
                LatentFrequencies(
                    family=family,
                    run=Run.parse(name),
                    n_patches=int(attributes["n_patches"]),
                    frequency_S=file.values(f"{name}/frequency_S"),
                )
                for name in names
            ]
