"""Linear probes, and their files.

A probe computes the logits W x + b of a patch and predicts the class with the highest.
G probes of a sweep, C classes, width D.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.core.tensors_file import read_header, read_tensors, write_tensors

_REMEDY = "delete it and train again"
_PROBE, _SWEEP = "linear_probe", "linear_probes"


@dataclass(frozen=True)
class LinearProbe:
    """A linear probe for activations as the encoder gives them.

    Attributes:
        weight_CD: float32, row c belongs to label c + 1.
        bias_C: float32.
    """

    weight_CD: Float[Tensor, "c d"]
    bias_C: Float[Tensor, " c"]

    @property
    def n_classes(self) -> int:
        """C, the number of classes."""
        return self.weight_CD.shape[0]

    @property
    def width(self) -> int:
        """D, the width of the encoder."""
        return self.weight_CD.shape[1]

    def __call__(self, x_BD: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """The logits of some patches."""
        return torch.addmm(self.bias_C, x_BD, self.weight_CD.T)

    def to(self, device: torch.device) -> "LinearProbe":
        """The same probe with its weights on `device`."""
        return LinearProbe(self.weight_CD.to(device), self.bias_C.to(device))

    def check(self, where: Path, acts: Activations, n_classes: int) -> None:
        """Check that activations and classes fit this probe.

        Args:
            where: the probe's file, for messages.
            acts: the activations to apply it to.
            n_classes: the number of classes of the labels to compare it with.

        Raises:
            ValueError: width or number of classes differ.
        """
        if self.width != acts.width:
            raise ValueError(
                f"{where} takes activations of width {self.width}, but those of layer "
                f"{acts.layer} have {acts.width}: pass the shards that it was trained "
                "on"
            )
        if self.n_classes != n_classes:
            raise ValueError(
                f"{where} predicts {self.n_classes} classes, but the labels have "
                f"{n_classes}: pass the labels that it was trained on"
            )


@dataclass(frozen=True)
class TrainedProbe:
    """A probe of a sweep, and how it was trained."""

    learning_rate: float
    weight_decay: float
    loss: float
    """The mean cross-entropy of the labelled patches in the last epoch, measured before
    the step that learned from them."""
    probe: LinearProbe


def save_probe(path: Path, probe: LinearProbe, settings: Mapping[str, Any]) -> None:
    """Write a probe and the settings that made it.

    Args:
        path: a `.safetensors` file, written completely or not at all.
        probe: on the CPU.
        settings: any JSON.
    """
    tensors = {"weight_CD": probe.weight_CD, "bias_C": probe.bias_C}
    write_tensors(path, tensors, {"kind": _PROBE, "settings": settings})


def load_probe(path: Path) -> LinearProbe:
    """Read a probe that `save_probe` wrote.

    Raises:
        ValueError: the file is missing, damaged or holds something else.
    """
    tensors, _ = _read(path, _PROBE)
    return LinearProbe(**tensors)


def save_probes(
    path: Path, trained: Sequence[TrainedProbe], settings: Mapping[str, Any]
) -> None:
    """Write all probes of a sweep and the settings that made them.

    Args:
        path: a `.safetensors` file, written completely or not at all.
        trained: one or more, on the CPU.
        settings: any JSON.
    """
    tensors = {
        "weight_GCD": torch.stack([entry.probe.weight_CD for entry in trained]),
        "bias_GC": torch.stack([entry.probe.bias_C for entry in trained]),
    }
    columns = ("learning_rate", "weight_decay", "loss")
    made = [{name: getattr(entry, name) for name in columns} for entry in trained]
    write_tensors(path, tensors, {"kind": _SWEEP, "probes": made, "settings": settings})


def load_probes(path: Path) -> list[TrainedProbe]:
    """Read the probes that `save_probes` wrote, in the same order.

    Raises:
        ValueError: the file is missing, damaged or holds something else.
    """
    tensors, header = _read(path, _SWEEP)
    probes = map(LinearProbe, tensors["weight_GCD"], tensors["bias_GC"])
    return [
        TrainedProbe(**made, probe=probe)
        for made, probe in zip(header["probes"], probes, strict=True)
    ]


def read_probe_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a file of `save_probe` or `save_probes`.

    Raises:
        ValueError: the file is missing, damaged or holds something else.
    """
    return _read_header(path)["settings"]


def trained_on(path: Path) -> MadeWith:
    """Read which activations the probes of a file were trained on."""
    settings = read_probe_settings(path)
    settings = settings.get("sweep", settings)  # `probe.safetensors` has the sweep's
    return MadeWith(str(path), settings.get("trained_on", {}), settings.get("layer"))


def check_trained_on(path: Path, acts: Activations, shard: Path) -> None:
    """Check that probes were trained on activations like these.

    Args:
        path: a file of `save_probe` or `save_probes`.
        acts: the activations to use them with.
        shard: one of their files, for messages.

    Raises:
        ValueError: the encoder, its weights, its preprocessing or the layer differ.
    """
    used = MadeWith(str(shard), acts.attributes, acts.layer)
    check_same_encoder(trained_on(path), used)


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    header = _read_header(path)
    if header["kind"] != kind:
        raise ValueError(
            f"{path} holds {header['kind']}, expected {kind}: train_probes writes "
            f"{_SWEEP}, evaluate_probes the best {_PROBE}"
        )
    return read_tensors(path, _REMEDY), header


def _read_header(path: Path) -> dict[str, Any]:
    header = read_header(path, _REMEDY)
    if header.get("kind") not in (_PROBE, _SWEEP):
        raise ValueError(f"{path} is a safetensors file, but holds no linear probes")
    return header
