"""Load the weights of an encoder from a file, without running code from it."""

import logging
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vitproto.core.unreadable import unreadable

Weights = dict[str, Tensor]

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
"""The suffixes of files of weights."""

UNREADABLE = (
    *(OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError),
    *(AssertionError, EOFError, IndexError, pickle.UnpicklingError, SafetensorError),
)
"""Errors that readers of weights raise for damaged or unsuitable files."""

# The keys of weights in checkpoints of training scripts, in timm's order.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")

_TOWER = "visual."
_N_NAMED = 3


def read_weights(path: Path) -> Weights:
    """Read the tensors of a `.safetensors`, `.pt`, `.pth` or `.bin` file by name.

    Raises:
        ValueError: the file is damaged or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise unreadable(
            path,
            error,
            f"{path} is damaged or not a file of weights ({reason_of(error)}): set the "
            "encoder's `weights` to a .safetensors, .pt, .pth or .bin file that holds "
            "tensors",
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            logging.info("%s: using the weights under %r", path, key)
            break
    tensors = {}
    if isinstance(content, Mapping):
        for name, value in content.items():
            if isinstance(value, Tensor):
                tensors[str(name).removeprefix("module.")] = value.detach()
    if not tensors:
        raise ValueError(
            f"{path} holds no tensors: set the encoder's `weights` to a file with "
            "its weights"
        )
    return tensors


def reason_of(error: Exception) -> str:
    """Why torch could not read a file, without its advice to run code from the file."""
    first = str(error).strip().partition("\n")[0]
    if "weights_only" in first:
        return "it is not a file of tensors that torch.save wrote"
    return first or type(error).__name__


def load_image_tower(vision: nn.Module, path: Path, model: str) -> None:
    """Load weights of an open_clip model, or of its image tower alone, from a file.

    Args:
        vision: the image tower.
        path: see `read_weights`.
        model: the encoder's name in the configuration, for messages.

    Raises:
        ValueError: names or shapes are not exactly those of the tower's weights.
    """
    weights = read_weights(path)
    if any(name.startswith(_TOWER) for name in weights):
        weights = {
            name.removeprefix(_TOWER): tensor
            for name, tensor in weights.items()
            if name.startswith(_TOWER)
        }
    expected = vision.state_dict()
    lacking = [name for name in expected if name not in weights]
    foreign = sorted(name for name in weights if name not in expected)
    if lacking or foreign:
        raise misfit(path, model, lacking, foreign)
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            sizes = [" × ".join(map(str, t.shape)) for t in (weights[name], tensor)]
            raise ValueError(
                f"{path} does not fit {model}: its {name} is {sizes[0]}, expected "
                f"{sizes[1]}: set the encoder's `weights` to weights of this model"
            )
    vision.load_state_dict(weights)


def without_head(
    weights: Weights, classifier: str | Sequence[str] | None, path: Path
) -> Weights:
    """Remove the classifier from weights of a timm model, in any form that timm reads.

    Args:
        weights: from `read_weights`.
        classifier: the name or names of the classifier in the model.
        path: the file of the weights, for the message.

    Raises:
        ValueError: nothing is left.
    """
    names = [classifier] if isinstance(classifier, str) else classifier or []
    heads = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    left = {
        name: tensor
        for name, tensor in weights.items()
        if name not in heads | {f"{_TOWER}proj"}
    }
    if not left:
        raise ValueError(
            f"{path} holds only a classifier: set the encoder's `weights` to a file "
            "with all its weights"
        )
    return left


def check_patches(weights: Weights, patch_size: int, path: Path, model: str) -> None:
    """Refuse weights for patches of another size, which timm would resample.

    Raises:
        ValueError: the weights are for another patch size.
    """
    for name, tensor in weights.items():
        is_embedding = name.endswith(("patch_embed.proj.weight", "conv1.weight"))
        if is_embedding and tensor.ndim == 4 and tensor.shape[-1] != patch_size:
            sides = " × ".join(map(str, tensor.shape[-2:]))
            raise ValueError(
                f"{path} does not fit {model}: its {name} is for patches of {sides} "
                f"pixels, expected {patch_size}: set the encoder's `weights` to "
                "weights of this model"
            )


def misfit_of_error(path: Path, model: str, error: Exception) -> ValueError:
    """Turn an error of a strict `load_state_dict` into one sentence."""
    named: dict[str, list[str]] = {"Missing": [], "Unexpected": []}
    for line in str(error).splitlines():
        for kind, names in named.items():
            if line.strip().startswith(f"{kind} key(s)"):
                names += re.findall(r'"([^"]+)"', line)
    if any(named.values()):
        return misfit(path, model, *named.values())
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ValueError(
        f"{path} does not fit {model} ({lines[-1].rstrip('.')}): set the encoder's "
        "`weights` to weights of this model"
    )


def misfit(
    path: Path, model: str, lacking: Sequence[str], foreign: Sequence[str]
) -> ValueError:
    """The error for a file with missing or unexpected weights."""
    parts = []
    if lacking:
        parts.append(f"lacks {_some(lacking)}")
    if foreign:
        parts.append(f"has {_some(foreign)}, which the model lacks")
    return ValueError(
        f"{path} does not fit {model}: it {', and '.join(parts)}: set the encoder's "
        "`weights` to weights of this model"
    )


def _some(names: Sequence[str]) -> str:
    """The first few names, and the number of others."""
    n_more = len(names) - _N_NAMED
    listed = ", ".join(names[:_N_NAMED])
    return f"{listed} and {n_more} more" if n_more > 0 else listed
