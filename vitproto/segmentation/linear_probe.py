"""A linear probe: from the activations of a patch to the logits of its classes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor

from vitproto.files import whole_file


@dataclass(frozen=True)
class LinearProbe:
    """Logits of C classes, on raw activations."""

    weight_CD: Float[Tensor, "c d"]
    bias_C: Float[Tensor, "c"]

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.bias_C)

    @property
    def width(self) -> int:
        """D."""
        return self.weight_CD.shape[1]

    def __call__(self, x_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """The logits of raw activations."""
        return x_BD @ self.weight_CD.T + self.bias_C

    def to(self, device: torch.device) -> "LinearProbe":
        """The same probe on `device`."""
        return LinearProbe(self.weight_CD.to(device), self.bias_C.to(device))


def save_probe(path: Path, probe: LinearProbe, settings: Mapping[str, Any]) -> None:
    """Write a probe and the settings that made it."""
    tensors = {"weight_CD": probe.weight_CD, "bias_C": probe.bias_C}
    header = json.dumps({"settings": settings}, sort_keys=True)
    with whole_file(path) as partial:
        partial.write_bytes(save(tensors, {"vitproto": header}))


def load_probe(path: Path) -> LinearProbe:
    """Read a probe."""
    return LinearProbe(**load_file(path))
