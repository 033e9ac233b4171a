"""What a study says about an autoencoder, or directions, that it imports."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SAELENS_WEIGHTS, SAELENS_CFG = "sae_weights.safetensors", "cfg.json"
"""The files that SAELens saves an autoencoder to, both in one folder."""

DOUBTFUL_NMSE = 0.5
"""The NMSE above which an import is doubtful; a constant, the mean, reaches 1."""

DIRECTIONS = (".npy", ".csv")
"""The suffixes of files that always hold directions."""

N_CHECKED = 64
"""Most images on which an import shows its NMSE and L0."""


class Imported(NamedTuple):
    """An imported method: its file, and how a `sae.pt` is read.

    What the study does not say is None.
    """

    file: Path
    has_directions: bool
    """Whether the file holds directions, one a row, instead of an autoencoder."""
    subtract_b_dec_before_encoding: bool | None
    mean: Path | None
    norm: float | None

    @property
    def cfg(self) -> Path | None:
        """The `cfg.json` of SAELens, beside its weights; None for other files."""
        if self.file.name != SAELENS_WEIGHTS:
            return None
        return self.file.with_name(SAELENS_CFG)

    @property
    def files(self) -> dict[str, Path]:
        """The files that it is made of, by the key that names each."""
        named = {"file": self.file, "file: cfg": self.cfg, "scaling: mean": self.mean}
        return {key: file for key, file in named.items() if file is not None}


def shape_of_directions(file: Path) -> tuple[int, int] | None:
    """The directions in an `.npy` file and their width, without reading it.

    None for other files, and where the file is missing or no matrix: the job says why.
    """
    file = Path(os.path.expanduser(os.path.expandvars(file)))
    if file.suffix != ".npy":
        return None
    try:
        shape = np.load(file, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):
        return None
    return shape if len(shape) == 2 else None


def is_imported_sae(config: Mapping[str, Any], method: str) -> bool:
    """Whether a method is an autoencoder that the study imports."""
    is_imported = method in config["methods"]["imported"]
    return is_imported and not imported_method(config, method).has_directions


def imported_method(config: Mapping[str, Any], method: str) -> Imported:
    """Read what `methods.imported` says of a method: a path alone, or a section."""
    said = config["methods"]["imported"][method]
    section = {"file": said} if isinstance(said, str) else said
    scaling = section.get("scaling", {})
    file = Path(section["file"])
    return Imported(
        file,
        file.suffix in DIRECTIONS or section.get("holds") == "directions",
        section.get("subtract_b_dec_before_encoding"),
        Path(scaling["mean"]) if "mean" in scaling else None,
        scaling.get("norm"),
    )
