"""Collect the latents of training patches, as a sparse matrix.

V nonzero values; T is S + 1.
"""

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numba
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt16
from torch import Tensor

from vitproto.activations.ahead import ahead
from vitproto.activations.stream import N_THREADS, Activations, draw_distinct
from vitproto.core.progress import progress_bar
from vitproto.core.threads import one_core_each
from vitproto.features.top_images import IMAGES_PER_CORE
from vitproto.prototypes.autoencoder import SparseAutoencoder
from vitproto.segmentation.labels.patch_labels import PatchLabels


@dataclass(frozen=True)
class SparseLatents:
    """The latents of drawn patches, latent by latent, and sums over all patches.

    Attributes:
        start_T: latent s has the values from start[s] to start[s + 1], exclusive.
        class_V: the class of the patch: its label less 1.
        value_V: the value of the latent there, above 0.
        n_drawn_C: the number of drawn patches of each class.
        n_pure_C: the number of patches of each class from which they were drawn.
        n_active_S: the number of training patches on which each latent is active.
        largest_S: the largest value of each latent on any training patch.
    """

    start_T: Int64[np.ndarray, " t"]
    class_V: UInt16[np.ndarray, " v"]
    value_V: Float32[np.ndarray, " v"]
    n_drawn_C: Int64[np.ndarray, " c"]
    n_pure_C: Int64[np.ndarray, " c"]
    n_active_S: Int64[np.ndarray, " s"]
    largest_S: Float32[np.ndarray, " s"]


def draw_pure_patches(
    labels: PatchLabels, min_purity: float, n_patches: int, seed: int
) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """Draw the patches that rank latents, uniformly from all pure training patches.

    Args:
        labels: the labels of all patches.
        min_purity: minimum share of a patch's pixels that show its class. Unlabelled
            patches are never drawn.
        n_patches: maximum number of patches.
        seed: determines the draw. A smaller draw is part of a larger one.

    Returns:
        Image and patch of each, sorted by image, then by patch.

    Raises:
        ValueError: no labelled training patch is pure enough.
    """
    # A Python float, so that 0.9 is compared as float32, like the purities.
    is_pure_NP = (labels.labels_NP > 0) & (labels.purity_NP >= float(min_purity))
    is_pure_NP &= labels.is_train_N[:, None]
    i_image_M, i_patch_M = np.nonzero(is_pure_NP)
    if not len(i_image_M):
        raise ValueError(
            f"no labelled patch of the {len(labels.i_train_N)} training images has a "
            f"purity of {min_purity:g} or more: lower min_purity"
        )
    if len(i_image_M) > n_patches:
        drawn = np.sort(draw_distinct(len(i_image_M), n_patches, seed))
        i_image_M, i_patch_M = i_image_M[drawn], i_patch_M[drawn]
    return i_image_M, i_patch_M


def gather_latents(
    activations: Activations,
    autoencoder: SparseAutoencoder,
    labels: PatchLabels,
    *,
    min_purity: float,
    n_patches: int,
    seed: int,
    device: torch.device,
) -> SparseLatents:
    """Compute the latents of all training patches, in one pass.

    For drawn patches the nonzero values are kept. They take at most 16 bytes each: with
    M drawn patches and `l0` active latents on each, 16 · M · l0, or 1 GB for a million
    patches and 64 latents. A dense matrix would take 4 · M · S, or 66 GB for 16,384
    latents. Memory also holds a block of images.

    On a CPU, one core encodes one image, so shards and cores do not change a bit.

    Args:
        activations: the activations of the images of `labels`.
        autoencoder: with S latents.
        labels: the classes of patches; `draw_pure_patches` draws from them.
        device: where to compute latents.

    Raises:
        ValueError: no patch is pure, or a latent is not finite.
    """
    i_image_M, i_patch_M = draw_pure_patches(labels, min_purity, n_patches, seed)
    class_M = labels.labels_NP[i_image_M, i_patch_M] - np.uint16(1)
    is_pure_NP = (labels.purity_NP >= float(min_purity)) & labels.is_train_N[:, None]
    i_train_N = labels.i_train_N
    first_N, end_N = (
        np.searchsorted(i_image_M, i_train_N, side).tolist()
        for side in ("left", "right")
    )
    drawn_N = list(map(slice, first_N, end_N))
    on_device = autoencoder.to(device)
    # Computed here, because several threads would each compute them.
    _ = on_device.directions_SD, on_device.offset_S
    n_active_S = np.zeros(autoencoder.n_prototypes, np.int64)
    largest_S = np.zeros(autoencoder.n_prototypes, np.float32)
    parts = []

    def encode(acts_PD: Tensor, drawn: slice) -> "_ImageLatents":
        i_patch_R, class_R = i_patch_M[drawn], class_M[drawn]
        return _encode_image(acts_PD.to(device), on_device, i_patch_R, class_R)

    n_total = len(i_train_N) * activations.n_patches
    with one_core_each() as workers, progress_bar(n_total, "patches") as progress:
        n_at_once = IMAGES_PER_CORE * torch.get_num_threads()
        for i_first, acts_BPD in _blocks(activations, i_train_N, n_at_once):
            block = slice(i_first, i_first + len(acts_BPD))
            for image in workers.map(encode, acts_BPD, drawn_N[block]):
                n_active_S += image.n_active_S
                np.maximum(largest_S, image.largest_S, out=largest_S)
                parts.append((image.latent_V, image.class_V, image.value_V))
            progress.update(len(acts_BPD) * activations.n_patches)
    # NumPy's maximum propagates NaN.
    if not np.isfinite(largest_S).all():
        latent = int(np.argmin(np.isfinite(largest_S)))
        raise ValueError(
            f"latent {latent} is {largest_S[latent]} on a training patch: look for "
            "overflow in the activations or in the autoencoder"
        )
    return SparseLatents(
        *_by_latent(parts, autoencoder.n_prototypes),
        n_drawn_C=_count(class_M, labels.n_classes),
        n_pure_C=_count(labels.labels_NP[is_pure_NP], labels.n_classes + 1)[1:],
        n_active_S=n_active_S,
        largest_S=largest_S,
    )


class _ImageLatents(NamedTuple):
    """The latents of one image: sums over its patches, values on drawn patches."""

    n_active_S: np.ndarray
    largest_S: np.ndarray
    latent_V: np.ndarray
    class_V: np.ndarray
    value_V: np.ndarray


@torch.inference_mode()
def _encode_image(
    acts_PD: Tensor,
    autoencoder: SparseAutoencoder,
    i_patch_R: np.ndarray,
    class_R: np.ndarray,
) -> _ImageLatents:
    """Encode an image; `i_patch_R` are its drawn patches, `class_R` their classes."""
    latents_PS = autoencoder(acts_PD)
    n_active_S, largest_S = (latents_PS > 0).sum(0), latents_PS.amax(0)
    drawn_RS = latents_PS[torch.from_numpy(i_patch_R).to(acts_PD.device)]
    i_row_V, latent_V = torch.nonzero(drawn_RS, as_tuple=True)
    return _ImageLatents(
        n_active_S.cpu().numpy(),
        largest_S.cpu().numpy(),
        latent_V.int().cpu().numpy(),
        class_R[i_row_V.cpu().numpy()],
        drawn_RS[i_row_V, latent_V].cpu().numpy(),
    )


def _blocks(
    activations: Activations, i_image_N: np.ndarray, n_at_once: int
) -> Iterator[tuple[int, Tensor]]:
    """Read images, a few at a time; the next ones are read in the background."""
    firsts = range(0, len(i_image_N), n_at_once)
    reads = (
        partial(activations.read_images, i_image_N[i : i + n_at_once]) for i in firsts
    )
    yield from zip(firsts, ahead(reads, n_threads=N_THREADS, n_ahead=2), strict=True)


def _count(class_M: np.ndarray, n_classes: int) -> np.ndarray:
    return np.bincount(class_M, minlength=n_classes).astype(np.int64)


def _by_latent(
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], n_latents: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group values by latent; frees `parts` on the way."""
    n_values_S = np.zeros(n_latents, np.int64)
    for latent_V, _, _ in parts:
        n_values_S += np.bincount(latent_V, minlength=n_latents)
    start_T = np.concatenate([[0], np.cumsum(n_values_S)])
    class_V = np.empty(start_T[-1], np.uint16)
    value_V = np.empty(start_T[-1], np.float32)
    next_S = start_T[:-1].copy()
    parts.reverse()
    while parts:
        _scatter(*parts.pop(), next_S, class_V, value_V)
    return start_T, class_V, value_V


@typing.no_type_check
@numba.njit(cache=True)
def _scatter(latent_U, class_U, value_U, next_S, class_V, value_V):
    for u in range(len(latent_U)):
        to = next_S[latent_U[u]]
        next_S[latent_U[u]] = to + 1
        class_V[to] = class_U[u]
        value_V[to] = value_U[u]
