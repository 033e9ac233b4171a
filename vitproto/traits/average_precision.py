"""Average precision of every prototype for every trait, ties counted together."""

import typing
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Float, UInt8

from vitproto.traits.radix_sort import DIGIT_BITS, copy_keys, descending

MAX_TRAITS = 65_536
"""Traits are stored as 16-bit numbers, which halves the memory that the walk reads."""

COLUMNS_PER_TASK = 32
"""Prototypes that a thread copies from the score matrix at once: two cache lines of
each image's row, and the copy still fits into the core's cache."""


def average_precision(
    scores_NK: Float[np.ndarray, "n k"],
    labels_NT: Bool[np.ndarray, "n t"] | UInt8[np.ndarray, "n t"],
    known_NT: Bool[np.ndarray, "n t"] | None = None,
) -> Float[np.ndarray, "k t"]:
    """Average precision of every prototype for every trait, ties counted together.

    The mean, over the images that show the trait, of the precision among all
    images that score at least as high. Ties count together, as in scikit-learn's
    `average_precision_score`: an SAE scores most images exactly 0, and those must
    not be ranked by their place in the data set. So constant scores reach the
    trait's prevalence, and the order of the images never matters.

    Args:
        scores_NK: higher means that the prototype is present; float16, float32 or
            float64 in any memory layout, infinities allowed. Float32 is fast; float64
            is exact too, but slower, because NumPy ranks each column first.
        labels_NT: which image shows which trait; nonzero means that it does.
        known_NT: which of the labels are known; None for all. An image whose label
            for a trait is unknown is left out of that trait's AP, as if it did not
            exist.

    Returns:
        The AP of each pair in float64; NaN for a trait that no image shows. The
        number of threads does not change a bit.

    Raises:
        ValueError: a score is NaN, scores, labels and `known_NT` differ in shape, or
            there are more than 65,536 traits.
    """
    _check(scores_NK, labels_NT, known_NT)
    n_images, n_prototypes = scores_NK.shape
    ap_KT = np.full((n_prototypes, labels_NT.shape[1]), np.nan)
    if n_images == 0 or ap_KT.size == 0:
        return ap_KT
    if scores_NK.dtype == np.float64:
        refuse_nan(np.isnan(scores_NK.max(axis=0)))
        for k in range(0, n_prototypes, COLUMNS_PER_TASK):
            ranks = _dense_ranks(scores_NK[:, k : k + COLUMNS_PER_TASK])
            block_KT = average_precision(ranks, labels_NT, known_NT)
            ap_KT[k : k + COLUMNS_PER_TASK] = block_KT
        return ap_KT

    bits_NK = scores_NK.astype(np.float32, copy=False).view(np.uint32)
    nan_K = np.zeros(n_prototypes, np.bool_)
    _fill(bits_NK, list_shown(labels_NT, known_NT), ap_KT, nan_K)
    refuse_nan(nan_K)
    return ap_KT


class Shown(NamedTuple):
    """Which images show which traits, as the kernels walk them."""

    offsets: np.ndarray
    traits: np.ndarray
    """Image i shows traits[offsets[i] : offsets[i + 1]]."""
    unknown_offsets: np.ndarray
    unknown_traits: np.ndarray
    """The same for unknown labels; empty if all are known."""
    n_shown_T: np.ndarray
    n_known_T: np.ndarray


class Sums(NamedTuple):
    """What a thread counts on its walk down a ranking, for each trait."""

    count_T: np.ndarray
    sum_T: np.ndarray
    n_left_out_T: np.ndarray


def list_shown(
    labels_NT: Bool[np.ndarray, "n t"] | UInt8[np.ndarray, "n t"],
    known_NT: Bool[np.ndarray, "n t"] | None,
) -> Shown:
    """List the traits of each image."""
    n_images, n_traits = labels_NT.shape
    labels_NT = labels_NT.astype(bool, copy=False)
    n_known_T = np.full(n_traits, n_images)
    unknown = _by_image(np.zeros((n_images, 0), bool))
    if known_NT is not None and not known_NT.all():
        labels_NT = labels_NT & known_NT
        n_known_T = np.count_nonzero(known_NT, axis=0)
        unknown = _by_image(~known_NT)
    n_shown_T = np.count_nonzero(labels_NT, axis=0).astype(np.float64)
    return Shown(*_by_image(labels_NT), *unknown, n_shown_T, n_known_T)


def _by_image(cells_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The traits of each image: those of i are traits[offsets[i] : offsets[i + 1]]."""
    n_traits_N = np.count_nonzero(cells_NT, axis=1)
    offsets = np.concatenate([[0], np.cumsum(n_traits_N)]).astype(np.uint32)
    return offsets, np.nonzero(cells_NT)[1].astype(np.uint16)


def _check(
    scores_NK: np.ndarray, labels_NT: np.ndarray, known_NT: np.ndarray | None
) -> None:
    """Refuse invalid arguments, since the kernels check nothing."""
    if scores_NK.shape[0] != labels_NT.shape[0]:
        raise ValueError(
            f"scores are of {scores_NK.shape[0]} images and labels of "
            f"{labels_NT.shape[0]}: pass the same images in the same order"
        )
    if known_NT is not None and known_NT.shape != labels_NT.shape:
        raise ValueError(
            f"labels have shape {labels_NT.shape} and known_NT {known_NT.shape}: pass "
            "the same images and traits"
        )
    if labels_NT.shape[1] > MAX_TRAITS:
        raise ValueError(
            f"{labels_NT.shape[1]:,} traits, but at most {MAX_TRAITS:,} at once: "
            "pass the label columns in parts"
        )
    if scores_NK.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(
            f"scores of type {scores_NK.dtype} cannot be ranked: "
            "pass float16, float32 or float64"
        )


def refuse_nan(nan_K: np.ndarray) -> None:
    if nan_K.any():
        raise ValueError(
            f"the scores of {np.count_nonzero(nan_K)} of {len(nan_K)} prototypes "
            f"contain NaN, first those of prototype {np.argmax(nan_K)}: NaN has no "
            "rank, look for overflow in the activations or in the fit"
        )


def _dense_ranks(scores_NK: np.ndarray) -> np.ndarray:
    """Replace float64 scores by float32 ranks; exact up to 2^24 distinct scores."""
    ranks_NK = np.empty(scores_NK.shape, np.float32)
    for k, column in enumerate(scores_NK.T):
        ranks_NK[:, k] = np.unique(column, return_inverse=True)[1]
    return ranks_NK


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _fill(bits_NK, shown, ap_KT, nan_K):
    """Write the AP of all prototypes; a task does a few columns of the scores.

    Tasks are independent, so the number of threads does not change the result.
    """
    n_images, n_prototypes = bits_NK.shape
    inverse = invert(n_images)
    n_tasks = (n_prototypes + COLUMNS_PER_TASK - 1) // COLUMNS_PER_TASK
    for task in numba.prange(n_tasks):
        first = task * COLUMNS_PER_TASK
        n_columns = min(COLUMNS_PER_TASK, n_prototypes - first)
        keys_KN = np.empty((n_columns, n_images), np.uint32)
        copy_keys(bits_NK, first, keys_KN, nan_K)
        items = np.empty(n_images, np.uint64)
        spare = np.empty(n_images, np.uint64)
        counters = np.empty(1 << DIGIT_BITS, np.uint32)
        sums = make_sums(len(shown.n_shown_T))
        for k in range(n_columns):
            order = descending(keys_KN[k], items, spare, counters)
            rate(order, shown, inverse, sums, ap_KT[first + k])


@typing.no_type_check
@numba.njit(cache=True)
def invert(n_images):
    """1 / n of each number of images."""
    return 1.0 / np.maximum(np.arange(n_images + 1), 1)


@typing.no_type_check
@numba.njit(cache=True)
def make_sums(n_traits):
    """Allocate the sums of a thread."""
    return Sums(np.empty(n_traits), np.empty(n_traits), np.empty(n_traits, np.int64))


@typing.no_type_check
@numba.njit(cache=True)
def rate(order, shown, inverse, sums, ap_T):
    """Write the AP of one ranking for each trait that an image shows."""
    count_T, sum_T, n_left_out_T = sums
    count_T[:] = 0.0
    sum_T[:] = 0.0
    if len(shown.unknown_traits) == 0:
        _walk(order, shown.offsets, shown.traits, inverse, count_T, sum_T)
    else:
        n_left_out_T[:] = 0
        _walk_known(order, *shown[:4], inverse, count_T, n_left_out_T, sum_T)
    # The rest of the images tie for the lowest score. Their precision is the
    # prevalence, so they need neither be sorted nor walked.
    for t in range(len(ap_T)):
        n_shown = shown.n_shown_T[t]
        if n_shown > 0:
            rest = (n_shown - count_T[t]) * (n_shown / shown.n_known_T[t])
            ap_T[t] = (sum_T[t] + rest) / n_shown


@typing.no_type_check
@numba.njit(cache=True)
def _walk(order, offsets, traits, inverse, count_T, sum_T):
    """Walk down the ranking, count each trait's images and sum their precisions."""
    half, image_mask, one = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(1)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and order[stop] >> half == order[start] >> half:
            stop += 1
        if stop == start + 1:  # no tie: count and sum in one pass
            image, inv = order[start] & image_mask, inverse[stop]
            for j in range(offsets[image], offsets[image + one]):
                t = traits[j]
                count = count_T[t] + 1.0
                count_T[t] = count
                sum_T[t] += count * inv
        else:  # precision includes all tied images, so count them first
            for i in range(start, stop):
                image = order[i] & image_mask
                for j in range(offsets[image], offsets[image + one]):
                    count_T[traits[j]] += 1.0
            for i in range(start, stop):
                image = order[i] & image_mask
                for j in range(offsets[image], offsets[image + one]):
                    sum_T[traits[j]] += count_T[traits[j]] * inverse[stop]
        start = stop


@typing.no_type_check
@numba.njit(cache=True)
def _walk_known(
    order,
    offsets,
    traits,
    unknown_offsets,
    unknown_traits,
    inverse,
    count_T,
    n_left_out_T,
    sum_T,
):
    """Do as `_walk` does, but count for each trait only images with a known label."""
    half, image_mask, one = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(1)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and order[stop] >> half == order[start] >> half:
            image = order[stop] & image_mask
            for j in range(offsets[image], offsets[image + one]):
                count_T[traits[j]] += 1.0
            for j in range(unknown_offsets[image], unknown_offsets[image + one]):
                n_left_out_T[unknown_traits[j]] += 1
            stop += 1
        for i in range(start, stop):
            image = order[i] & image_mask
            for j in range(offsets[image], offsets[image + one]):
                t = traits[j]
                sum_T[t] += count_T[t] * inverse[stop - n_left_out_T[t]]
        start = stop
