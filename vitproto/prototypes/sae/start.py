"""Where training starts: the scaling of activations and the initial decoder."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vitproto.activations.random_batches import RandomBatches
from vitproto.activations.stream import Activations, draw_distinct
from vitproto.core.progress import progress_bar
from vitproto.prototypes.gaussian import draw_directions
from vitproto.prototypes.sae.learner import Scaling
from vitproto.prototypes.sae.settings import SaeSettings


def measure_scaling(
    activations: Activations, image_N: Int64[np.ndarray, " n"], settings: SaeSettings
) -> Scaling:
    """Measure the scaling with which the same settings suit every encoder.

    Scaled activations have mean 0 (with `scale_mean`) and mean norm 1 (with
    `scale_norm`). It is measured on the first patches of a stream of batches.

    Raises:
        ValueError: all patches are equal.
    """
    if not (settings.scale_mean or settings.scale_norm):
        mean_D = _mean(activations, image_N, settings)
        return Scaling(torch.zeros_like(mean_D), 1.0, mean_D)
    mean_D = _mean(activations, image_N, settings)
    subtracted_D = mean_D if settings.scale_mean else torch.zeros_like(mean_D)
    norm = 1.0
    if settings.scale_norm:
        total, n = 0.0, 0
        for x_BD in sample_batches(activations, image_N, settings, "norms"):
            around_BD = x_BD.numpy() - subtracted_D.numpy()
            squares_B = np.square(around_BD, dtype=np.float64).sum(axis=1)
            total, n = total + float(np.sqrt(squares_B).sum()), n + len(x_BD)
        norm = total / n
    if not norm > 0:
        raise ValueError(
            f"all {settings.n_scaling} patches on which the scaling is measured are "
            "equal: check the recorded activations, or raise n_scaling"
        )
    return Scaling(subtracted_D, norm, (mean_D - subtracted_D) / norm)


def first_decoder(
    activations: Activations,
    image_N: Int64[np.ndarray, " n"],
    settings: SaeSettings,
    scaling: Scaling,
    n_latents: int,
    seed: int,
) -> Float32[Tensor, "s d"]:
    """The initial directions of the decoder's rows.

    Raises:
        ValueError: rows start as patches, and there are fewer patches than rows.
    """
    if settings.start == "random":
        return draw_directions(n_latents, activations.width, seed)
    n_patches = activations.n_patches
    i_M = draw_distinct(len(image_N) * n_patches, n_latents, seed)
    x_SD = activations.read_patches(image_N[i_M // n_patches], i_M % n_patches)
    return (x_SD - scaling.mean_D) / scaling.norm - scaling.centre_D


def _mean(
    activations: Activations, image_N: np.ndarray, settings: SaeSettings
) -> Tensor:
    total_D, n = np.zeros(activations.width), 0
    for x_BD in sample_batches(activations, image_N, settings, "means"):
        total_D += x_BD.numpy().sum(axis=0, dtype=np.float64)
        n += len(x_BD)
    return torch.from_numpy(total_D / n).float()


def sample_batches(
    activations: Activations,
    image_N: Int64[np.ndarray, " n"],
    settings: SaeSettings,
    what: str,
) -> Iterator[Float32[Tensor, "b d"]]:
    """The first `n_scaling` patches of a stream, rounded down to whole batches.

    Args:
        activations: the activations to learn from.
        image_N: the images to learn from.
        settings: the settings of the training.
        what: what they are for, in the progress bar.
    """
    batch_size = min(settings.batch_size, settings.n_scaling)
    batches = RandomBatches(
        activations,
        batch_size=batch_size,
        seed=settings.stream_seed,
        n_mixed=settings.n_mixed,
        first_batch=0,
        images=image_N,
    )
    n_batches = settings.n_scaling // batch_size
    with progress_bar(n_batches * batch_size, f"patches for {what}") as progress:
        for _, x_BD in zip(range(n_batches), batches, strict=False):
            yield x_BD
            progress.update(len(x_BD))
