"""Measure autoencoders on held-out images.

x is a held-out patch as the encoder gives it, z = (x - mean) / norm the scaled input of
the autoencoder, f its latents, x̂ and ẑ the reconstructions. D width, S latents, C
latents whose correlations are measured, M patches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from vitproto.activations.ahead import ahead
from vitproto.activations.stream import Activations
from vitproto.core.bounds import AtLeast, Count, Index, check_bounds
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.prototypes.sae.frequency import ALMOST_DEAD, DENSE
from vitproto.prototypes.sae.held_out import held_out_images

GROUP = 4
"""Images that pass through an autoencoder together: 128 MB with 256 patches and 32,768
latents. Groups are counted from the first held-out image, so results do not depend on
the number of shards or threads."""

ROWS = 512
"""Rows of the decoder that are compared with all others at a time."""

CONSTANT = 1e-12
"""A latent varies if its variance exceeds this share of its mean square; rounding
errors are smaller."""


@dataclass(frozen=True)
class HeldOut:
    """The training images that autoencoders are measured on, and how."""

    every: Annotated[int, AtLeast(2)]
    """Every N-th training image, in the order of their list, is kept from training."""
    n_correlated: Count
    """Most latents, drawn at random, whose correlations are measured."""
    seed: Index
    """Decides which latents these are."""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Evaluation:
    """Metrics of an autoencoder on N held-out patches."""

    n_patches: int
    """N."""
    mse: float
    """|z - ẑ|², mean over patches: the reconstruction loss of training, in its
    units."""
    nmse: float
    """Σ |x - x̂|² / Σ |x - x̄|², where x̄ is the mean of the held-out patches. A constant
    reaches 1, in any units (Gao et al. 2024, "Scaling and evaluating sparse
    autoencoders")."""
    explained_variance: float
    """1 - Var(x_d - x̂_d) / Var(x_d), averaged over the dimensions d that vary. All
    dimensions have the same weight, so a badly reconstructed one of small variance can
    make it negative. A constant error does not count."""
    l0: float
    """The mean number of nonzero latents on a patch."""
    l1: float
    """The mean of Σ f on a patch; latents are never negative."""
    n_dead: int
    """Latents that are 0 on all patches."""
    n_almost_dead: int
    """Latents with a frequency below `ALMOST_DEAD`, but not 0: always none unless N
    exceeds 1 / `ALMOST_DEAD`."""
    n_dense: int
    """Latents with a frequency above `DENSE`."""
    mean_absolute_correlation: float
    """The mean of |Pearson correlation| over pairs of distinct latents, among the drawn
    latents that vary; NaN if fewer than two vary."""
    coherence: float
    """The largest |cosine| between two rows of the decoder, those of dead latents
    included; 0 for a row of zeros, NaN with a single latent. Also called mutual
    coherence (Donoho and Huo 2001)."""
    frequency_S: Float64[np.ndarray, " s"]
    """The share of patches on which each latent is nonzero."""
    mean_value_S: Float64[np.ndarray, " s"]
    """The mean of each latent's nonzero values; NaN if it is dead."""


def evaluate(
    activations: Activations,
    autoencoders: Sequence[SparseAutoencoder],
    cfg: HeldOut,
    device: torch.device,
) -> list[Evaluation]:
    """Measure autoencoders on the held-out images, all in one pass over these.

    Memory grows with the number of latents, not of patches; sums are in float64.

    Raises:
        ValueError: there are too few images to hold one out, or all held-out patches
            are equal.
    """
    i_image_N = held_out_images(activations.n_images, cfg.every)
    on_device = [autoencoder.to(device) for autoencoder in autoencoders]
    drawn = [
        draw_latents(autoencoder.n_prototypes, cfg).to(device)
        for autoencoder in on_device
    ]
    data, per_autoencoder = _Sums(), [_Sums() for _ in on_device]
    n_patches = len(i_image_N) * activations.n_patches
    with one_core_each() as workers, progress_bar(n_patches, "patches") as progress:
        # A GPU needs no workers: they would only fill its memory.
        each = workers.map if device.type == "cpu" else map
        origin_D = activations.read_images(i_image_N[:1])[0, 0].to(device)
        for acts_NPD in _blocks(activations, i_image_N):
            groups = [
                acts_BPD.flatten(0, 1) for acts_BPD in acts_NPD.to(device).split(GROUP)
            ]
            data.add_all(each(partial(_moments, origin_D=origin_D), groups))
            for sums, autoencoder, i_latent_C in zip(
                per_autoencoder, on_device, drawn, strict=True
            ):
                measure = partial(_measure, autoencoder, i_latent_C)
                sums.add_all(each(measure, groups))
            progress.update(len(acts_NPD) * activations.n_patches)
        coherences = [_coherence(a.W_dec_SD, each) for a in on_device]
    variance_D = _variance(*data.totals, n_patches)
    if not (variance_D > 0).any():
        raise ValueError(
            f"the {n_patches} held-out patches are all equal, so there is no variance "
            "to explain: lower held_out.every or record more images"
        )
    return [
        _conclude(autoencoder, sums, coherence, variance_D, n_patches)
        for autoencoder, sums, coherence in zip(
            autoencoders, per_autoencoder, coherences, strict=True
        )
    ]


def draw_latents(n_latents: int, cfg: HeldOut) -> Int64[Tensor, " c"]:
    """Draw the latents whose correlations are measured: the same for runs of a size.

    They are drawn from all latents, so those of them that are not dead are a random
    sample of all that are not dead.
    """
    rng = np.random.default_rng(cfg.seed)
    drawn_C = np.sort(rng.permutation(n_latents)[: cfg.n_correlated])
    return torch.from_numpy(drawn_C)


def _blocks(activations: Activations, i_image_N: np.ndarray) -> Iterator[Tensor]:
    """Read the images in order, the next ones in the background."""
    n_images = GROUP * 2 * torch.get_num_threads()
    starts = range(0, len(i_image_N), n_images)
    reads = (
        partial(activations.read_images, i_image_N[i : i + n_images]) for i in starts
    )
    return ahead(reads, n_threads=1, n_ahead=1)


class _Sums:
    """Sums of several arrays over groups, added in order."""

    totals: list[np.ndarray]

    def __init__(self) -> None:
        self.totals = []

    def add_all(self, parts: Iterator[tuple[Tensor, ...]]) -> None:
        for part in parts:
            # NumPy uses this thread only; torch would use all cores.
            arrays = [tensor.cpu().numpy() for tensor in part]
            if not self.totals:
                self.totals = [np.zeros_like(array) for array in arrays]
            for total, array in zip(self.totals, arrays, strict=True):
                total += array


def _moments(acts_MD: Tensor, origin_D: Tensor) -> tuple[Tensor, ...]:
    """Sums of the activations and of their squares, relative to one of the patches.

    Relative to it, a dimension that does not vary is exactly 0, and a mean far from 0
    does not make the variance imprecise.
    """
    around_MD = acts_MD.double() - origin_D.double()
    return around_MD.sum(0), around_MD.square().sum(0)


@torch.inference_mode()
def _measure(
    autoencoder: SparseAutoencoder, i_latent_C: Tensor, acts_MD: Tensor
) -> tuple[Tensor, ...]:
    """Sums over patches: errors, their squares, and values per latent and per pair."""
    latents_MS = autoencoder(acts_MD)
    error_MD = acts_MD.double() - autoencoder.decode(latents_MS).double()
    drawn_MC = latents_MS[:, i_latent_C].double()
    return (
        error_MD.sum(0),
        error_MD.square().sum(0),
        (latents_MS != 0).sum(0),
        latents_MS.sum(0, dtype=torch.float64),
        drawn_MC.sum(0),
        drawn_MC.T @ drawn_MC,
    )


def _conclude(
    autoencoder: SparseAutoencoder,
    sums: _Sums,
    coherence: float,
    variance_D: np.ndarray,
    n_patches: int,
) -> Evaluation:
    error_D, square_D, count_S, value_S, drawn_C, products_CC = sums.totals
    frequency_S = count_S / n_patches
    varies_D = variance_D > 0
    unexplained_D = _variance(error_D, square_D, n_patches)[varies_D]
    squared_error = float(square_D.sum()) / n_patches
    return Evaluation(
        n_patches=n_patches,
        mse=squared_error / autoencoder.norm**2,
        nmse=squared_error / float(variance_D.sum()),
        explained_variance=float((1 - unexplained_D / variance_D[varies_D]).mean()),
        l0=int(count_S.sum()) / n_patches,
        l1=float(value_S.sum()) / n_patches,
        n_dead=int((count_S == 0).sum()),
        n_almost_dead=int(((count_S > 0) & (frequency_S < ALMOST_DEAD)).sum()),
        n_dense=int((frequency_S > DENSE).sum()),
        mean_absolute_correlation=_mean_correlation(drawn_C, products_CC, n_patches),
        coherence=coherence,
        frequency_S=frequency_S,
        mean_value_S=np.where(count_S > 0, value_S, np.nan) / np.maximum(count_S, 1),
    )


def _variance(sum_D: np.ndarray, square_D: np.ndarray, n: int) -> np.ndarray:
    return square_D / n - (sum_D / n) ** 2


def _mean_correlation(
    sum_C: Float64[np.ndarray, " c"], products_CC: Float64[np.ndarray, "c c"], n: int
) -> float:
    mean_C = sum_C / n
    covariance_CC = products_CC / n - np.outer(mean_C, mean_C)
    varies_C = covariance_CC.diagonal() > CONSTANT * products_CC.diagonal() / n
    covariance_CC = covariance_CC[np.ix_(varies_C, varies_C)]
    n_varying = len(covariance_CC)
    if n_varying < 2:
        return float("nan")
    sd_C = np.sqrt(covariance_CC.diagonal())
    correlation_CC = covariance_CC / np.outer(sd_C, sd_C)
    pairs = np.triu_indices(n_varying, k=1)
    return float(np.abs(correlation_CC[pairs]).mean())


def _coherence(rows_SD: Float[Tensor, "s d"], each: Callable[..., Iterator]) -> float:
    """The largest |cosine| between two rows."""
    n_latents = len(rows_SD)
    if n_latents < 2:
        return float("nan")
    length_S1 = rows_SD.double().norm(dim=1, keepdim=True)
    unit_SD = (rows_SD / length_S1.clamp(min=torch.finfo(torch.float32).tiny)).float()

    def largest(i_first: int) -> float:
        cosines_RS = unit_SD[i_first : i_first + ROWS] @ unit_SD[i_first:].T
        # Each row with the rows after it: every pair once.
        return float(cosines_RS.triu_(diagonal=1).abs().max())

    # Rounding can make the cosine of equal rows exceed 1.
    return min(1.0, max(each(largest, range(0, n_latents, ROWS))))
