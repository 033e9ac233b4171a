"""Class directions, along which the logit of a class rises most, and their file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from vitproto.activations.same_encoder import MadeWith, check_same_encoder
from vitproto.activations.stream import Activations
from vitproto.core.tensors_file import (
    naming_damage,
    read_header,
    read_tensors,
    write_tensors,
)
from vitproto.segmentation.probes.linear_probe import LinearProbe

_TENSOR = "class_directions_CD"
_REMEDY = "delete it and run find_class_directions again"


def probe_directions(probe: LinearProbe) -> Float32[np.ndarray, "c d"]:
    """The class directions at the probe's own layer: W_c - mean W.

    This is the gradient of (logit_c - mean of all logits), which is constant.
    """
    weight_CD = probe.weight_CD.cpu().to(torch.float64)
    return (weight_CD - weight_CD.mean(dim=0)).float().numpy()


def save_directions(
    path: Path,
    class_directions_CD: Float32[np.ndarray, "c d"],
    settings: Mapping[str, Any],
) -> None:
    """Write class directions and the settings that made them.

    Args:
        path: a `.safetensors` file, written completely or not at all.
        class_directions_CD: for the labels 1 to C; NaN for a class without direction.
        settings: any JSON.
    """
    tensors = {_TENSOR: torch.from_numpy(np.ascontiguousarray(class_directions_CD))}
    write_tensors(path, tensors, {"settings": settings})


def check_found_for(path: Path, acts: Activations, shard: Path) -> None:
    """Check that directions were found for activations like these.

    Args:
        path: a file of `save_directions`, with `layer` and `found_for` in its settings.
        acts: the activations to use them with.
        shard: one of their files, for messages.

    Raises:
        ValueError: the file is damaged, or the encoder, its weights, its preprocessing
            or the layer differ.
    """
    header = read_header(path, _REMEDY)
    with naming_damage(path, _REMEDY):
        settings = dict(header.get("settings", {}))
    made_with = MadeWith(
        str(path), settings.get("found_for", {}), settings.get("layer")
    )
    check_same_encoder(made_with, MadeWith(str(shard), acts.attributes, acts.layer))


def directions_for(
    path: Path, acts: Activations, shard: Path, n_classes: int
) -> Float32[np.ndarray, "c d"]:
    """Read the class directions, and check that they fit the activations.

    Raises:
        ValueError: see `check_found_for` and `load_directions`.
    """
    check_found_for(path, acts, shard)
    return load_directions(path, n_classes, acts.width)


def load_directions(
    path: Path, n_classes: int, width: int
) -> Float32[np.ndarray, "c d"]:
    """Read class directions.

    Raises:
        ValueError: the file is damaged, was not written by `save_directions`, or has
            another number of classes or another width.
    """
    tensors = read_tensors(path, _REMEDY)
    if _TENSOR not in tensors:
        raise ValueError(f"{path} is a safetensors file, but holds no class directions")
    class_directions_CD = tensors[_TENSOR].numpy()
    if class_directions_CD.shape != (n_classes, width):
        n_found, found_width = class_directions_CD.shape
        raise ValueError(
            f"{path} holds directions of {n_found} classes with {found_width} values, "
            f"expected {n_classes} classes with {width}: run find_class_directions "
            "with the probe and encoder of these labels and activations"
        )
    return class_directions_CD
