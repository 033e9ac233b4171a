"""Check the weights in a file that another library wrote."""

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor


def check_tensors(
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    path: Path,
    said_by: str,
    may_be_infinite: Collection[str] = (),
) -> None:
    """Check names, shapes and values of the weights of an autoencoder.

    Args:
        tensors: the weights, by name.
        shapes: the shapes that they must have, and no others.
        path: the file that holds them.
        said_by: what says so, for messages: `its header`, or another file.
        may_be_infinite: those whose values may be infinite, but not NaN.

    Raises:
        ValueError: a tensor is missing or not known, or has another shape or values
            that are not finite.
    """
    if tensors.keys() != shapes.keys():
        raise ValueError(
            f"{path} holds the tensors {', '.join(sorted(tensors))}, but {said_by} "
            f"requires {', '.join(sorted(shapes))}"
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} in {path} has shape {tuple(tensor.shape)}, but {said_by} says "
                f"{shape}"
            )
        is_bad = tensor.isnan() if name in may_be_infinite else ~tensor.isfinite()
        if is_bad.any():
            raise ValueError(
                f"{name} in {path} has values that are NaN or infinite: its training "
                "failed"
            )
