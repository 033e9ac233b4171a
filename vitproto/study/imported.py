"""What a study says about an autoencoder that it imports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

SAELENS_WEIGHTS, SAELENS_CFG = "sae_weights.safetensors", "cfg.json"
"""The files that SAELens saves an autoencoder to, both in one folder."""

DOUBTFUL_NMSE = 0.5
"""The NMSE above which an import is doubtful; a constant, the mean, reaches 1."""

N_CHECKED = 64
"""Most images on which an import shows its NMSE and L0."""


class Imported(NamedTuple):
    """An imported autoencoder: its file, and how a `sae.pt` is read.

    What the study does not say is None.
    """

    file: Path
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


def imported_sae(config: Mapping[str, Any], method: str) -> Imported:
    """Read what `methods.imported` says of a method: a path alone, or a section."""
    said = config["methods"]["imported"][method]
    section = {"file": said} if isinstance(said, str) else said
    scaling = section.get("scaling", {})
    return Imported(
        Path(section["file"]),
        section.get("subtract_b_dec_before_encoding"),
        Path(scaling["mean"]) if "mean" in scaling else None,
        scaling.get("norm"),
    )
