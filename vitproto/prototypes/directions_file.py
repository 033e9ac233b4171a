"""Read a matrix of directions: one prototype a row, as anybody can write it.

The score of a prototype is the dot product of its row with an activation. K prototypes,
D dimensions.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vitproto.core.unreadable import UnreadableError, unreadable

_HOW = (
    "write one direction a row, for instance by numpy.save(file, directions), where "
    "directions has a row for each prototype and a column for each dimension"
)


def read_directions(path: Path, width: int) -> Float32[Tensor, "k d"]:
    """Read directions of a width.

    Args:
        path: an `.npy` file of numbers; a `.csv` file with a direction a line, without
            a header; or a `.safetensors` file with a single tensor.
        width: D, the width of the activations that they score.

    Raises:
        ValueError: the file cannot be read, or is no matrix of this width, or a
            direction is 0 or not finite.
    """
    readers = {".npy": _read_npy, ".csv": _read_csv, ".safetensors": _read_safetensors}
    values = readers[path.suffix](path)
    shape = " × ".join(map(str, values.shape)) or "a single number"
    if values.ndim != 2 or 0 in values.shape:
        raise UnreadableError(f"{path} is no matrix, its shape is {shape}: {_HOW}")
    if values.dtype.kind not in "fiu":
        raise UnreadableError(f"{path} holds {values.dtype}, not numbers: {_HOW}")
    if values.shape[1] != width:
        turned = (
            ". Its transpose would fit"
            if values.shape[0] == width
            else ": they are of another encoder or layer"
        )
        raise UnreadableError(
            f"{path} holds {values.shape[0]} directions of width {values.shape[1]}, "
            f"but the activations have width {width}{turned}"
        )
    with np.errstate(over="ignore"):  # becomes infinite, and is refused
        directions_KD = torch.from_numpy(values.astype(np.float32))
    is_bad_K = ~directions_KD.isfinite().all(1) | (directions_KD == 0).all(1)
    if is_bad_K.any():
        i_bad = int(is_bad_K.nonzero()[0])
        raise UnreadableError(
            f"{path}: direction {i_bad}, counted from 0, is 0 or not finite: leave it "
            "out"
        )
    return directions_KD


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = "Python objects" if "allow_pickle" in str(error) else str(error)
        raise unreadable(
            path, error, f"{path} is damaged or no matrix of numbers ({why}): {_HOW}"
        ) from error


def _read_csv(path: Path) -> np.ndarray:
    rows: list[list[float]] = []
    try:
        for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            try:
                rows.append([float(cell) for cell in line.split(",")])
            except ValueError as error:
                raise UnreadableError(
                    f"{path}, line {number}: {error}. Write numbers and commas, "
                    "without a header"
                ) from error
            if len(rows[-1]) != len(rows[0]):
                raise UnreadableError(
                    f"{path}, line {number}, has {len(rows[-1])} numbers, but the "
                    f"first has {len(rows[0])}"
                )
    except (OSError, UnicodeDecodeError) as error:
        why = f"{path} is damaged or not a CSV file ({error})"
        raise unreadable(path, error, why) from error
    return np.array(rows)


def _read_safetensors(path: Path) -> np.ndarray:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        why = f"{path} is damaged or not a safetensors file ({error})"
        raise unreadable(path, error, why) from error
    if len(tensors) != 1:
        held = ", ".join(
            f"{name} ({' × '.join(map(str, tensor.shape))})"
            for name, tensor in sorted(tensors.items())
        )
        raise UnreadableError(
            f"{path} holds {held or 'nothing'}, and directions are a single tensor: "
            "save that one alone"
        )
    (tensor,) = tensors.values()
    return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
