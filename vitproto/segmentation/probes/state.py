"""The state of an unfinished training of probes, from which the next job continues."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from vitproto.core.tensors_file import read_header, read_tensors, write_tensors
from vitproto.core.unfinished import Unfinished


@dataclass
class Progress:
    """How far a training has come, but for the probes themselves."""

    step: int
    """Steps taken."""
    total_G: Float64[np.ndarray, " g"]
    """Cross-entropies of labelled patches in the last epoch, summed."""
    n_counted: int
    """How many patches that are."""


@dataclass(frozen=True)
class ProbeState:
    """Where the state of a training is kept, and how often it is written."""

    unfinished: Unfinished
    save_every_s: float
    """Seconds between states."""

    def write(self, progress: Progress, memory: Sequence[Sequence[Tensor]]) -> None:
        """Save the state in place of the last one.

        Args:
            progress: how far the training has come.
            memory: the tensors of each group of probes: weights, biases and moments.
        """
        tensors = {
            f"group{i}_{j}": tensor.cpu()
            for i, group in enumerate(memory)
            for j, tensor in enumerate(group)
        }
        tensors["total_G"] = torch.from_numpy(progress.total_G.copy())
        header = {"step": progress.step, "n_counted": progress.n_counted}
        write_tensors(self._path, tensors, header)

    def restore(self, memory: Sequence[Sequence[Tensor]]) -> Progress:
        """Fill the tensors of each group with the last state, if there is one.

        Raises:
            ValueError: the state is damaged.
        """
        if not self._path.exists():
            n_probes = sum(len(group[0]) for group in memory)
            return Progress(0, np.zeros(n_probes), 0)
        remedy = "delete it to train from the beginning"
        header = read_header(self._path, remedy)
        tensors = read_tensors(self._path, remedy)
        total_G = tensors.pop("total_G").numpy()
        for tensor, kept in zip(
            chain.from_iterable(memory), _in_order(tensors), strict=True
        ):
            tensor.copy_(kept)
        return Progress(header["step"], total_G, header["n_counted"])

    @property
    def _path(self) -> Path:
        return self.unfinished.path("state", ".safetensors")


def _in_order(tensors: dict[str, Tensor]) -> list[Tensor]:
    def place(name: str) -> list[int]:
        return [int(number) for number in name.removeprefix("group").split("_")]

    return [tensors[name] for name in sorted(tensors, key=place)]
