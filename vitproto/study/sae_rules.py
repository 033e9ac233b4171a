"""Settings of a sparse autoencoder that do not go together.

A study is checked by them before anything runs, and training once more.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def count_steps(settings: Mapping[str, Any]) -> int:
    """Steps of training; 0 if nothing is trained.

    Args:
        settings: the section of a kind of autoencoder.
    """
    if settings["trains"] == "nothing":
        return 0
    return max(1, settings["n_patches"] // settings["batch_size"])


def impossible_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find what training would refuse: a key, and a sentence with what to write.

    Args:
        settings: the section of a kind of autoencoder.
    """
    activation, n_aux = settings["activation"], settings["n_aux"]
    if activation == "relu" and n_aux > 0:
        yield (
            "n_aux",
            f"n_aux {n_aux} has no effect with relu: AuxK trains latents that are "
            "positive but never among the largest, and a dead latent of relu is never "
            "positive: set n_aux to 0",
        )
    l0_weight, bandwidth = settings["l0_weight"], settings["bandwidth"]
    if activation == "jumprelu" and not (l0_weight > 0 and bandwidth > 0):
        yield (
            "bandwidth" if l0_weight > 0 else "l0_weight",
            f"jumprelu learns no threshold with l0_weight {l0_weight:g} and bandwidth "
            f"{bandwidth:g}: set both above 0",
        )
    n_steps = count_steps(settings)
    n_rising = max(settings["n_lr_warmup"], settings["n_sparsity_warmup"])
    if n_steps > 0 and n_rising + settings["n_lr_decay"] > n_steps:
        yield (
            "n_lr_decay",
            f"a warm-up of {n_rising} steps and a decay of {settings['n_lr_decay']} do "
            f"not fit in {n_steps} steps (n_patches {settings['n_patches']} / "
            f"batch_size {settings['batch_size']}), so the learning rate would not "
            "reach its value: lower n_lr_warmup, n_sparsity_warmup or n_lr_decay, or "
            "raise n_patches",
        )
