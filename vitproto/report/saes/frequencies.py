"""Frequencies of latents, read from the files that evaluation writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float64

from vitproto.core.unreadable import unreadable
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
    try:
        with h5py.File(path, "r", locking=False) as file:
            n_patches = int(file.attrs["n_patches"])
            family = Family(
                str(file.attrs["encoder"]),
                int(file.attrs["layer"]),
                str(file.attrs["method"]),
            )
            return [
                LatentFrequencies(
                    family=family,
                    run=Run.parse(name),
                    n_patches=n_patches,
                    frequency_S=group["frequency_S"][:],
                )
                for name, group in file.items()
            ]
    # h5py's error depends on which part of the file is damaged.
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise unreadable(
            path,
            error,
            f"{path} is damaged or not a file of evaluate_saes ({error}): name its "
            "latents.h5, or delete it and run evaluate_saes again",
        ) from error
