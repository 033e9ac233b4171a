"""Choose the device on which a stage computes."""

import atexit
import logging

import torch

from vitproto.core import device_memory


def pick_device(name: str) -> torch.device:
    """The device that a setting names on this machine.

    A GPU's peak memory is logged when the process ends.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, or `auto` for a GPU if there is one.

    Raises:
        ValueError: there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"there is no device {name!r}: write auto, cpu, cuda, or cuda:1 for the "
            "second GPU"
        )
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise ValueError(
            f"device is {name}, but torch finds {n_gpus} GPUs here: write cpu or auto, "
            "or run where there is a GPU and a torch built for it"
        )
    if device.type == "cuda":
        atexit.register(_log_peak, device)
    return device


def _log_peak(device: torch.device) -> None:
    """Log the peak GPU memory of this process for the cost table."""
    n_bytes = torch.cuda.max_memory_allocated(device)
    logging.info(device_memory.to_line(n_bytes))
