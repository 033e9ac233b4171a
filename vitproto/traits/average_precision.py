"""Average precision of every prototype for every trait, ties counted together."""

import typing

import numba
import numpy as np
from jaxtyping import Bool, Float, UInt8

MAX_TRAITS = 65_536
"""Traits are stored as 16-bit numbers, which halves the memory that the walk reads."""

COLUMNS_PER_TASK = 32
"""Prototypes that a thread copies from the score matrix at once: two cache lines of
each image's row, and the copy still fits into the core's cache."""

IMAGES_PER_TILE = 32
"""Images to copy before the next prototype: two cache lines of the copy."""

DIGIT_BITS = 11
"""Maximum width of a digit of the radix sort: 2048 counters fit into the L1 cache."""


def average_precision(
    scores_NK: Float[np.ndarray, "n k"],
    labels_NT: Bool[np.ndarray, "n t"] | UInt8[np.ndarray, "n t"],
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

    Returns:
        The AP of each pair in float64; NaN for a trait that no image shows. The
        number of threads does not change a bit.

    Raises:
        ValueError: a score is NaN, scores and labels differ in the number of
            images, or there are more than 65,536 traits.
    """
    _check(scores_NK, labels_NT)
    n_images, n_prototypes = scores_NK.shape
    ap_KT = np.full((n_prototypes, labels_NT.shape[1]), np.nan)
    if n_images == 0 or ap_KT.size == 0:
        return ap_KT
    if scores_NK.dtype == np.float64:
        _refuse_nan(np.isnan(scores_NK.max(axis=0)))
        for k in range(0, n_prototypes, COLUMNS_PER_TASK):
            ranks = _dense_ranks(scores_NK[:, k : k + COLUMNS_PER_TASK])
            ap_KT[k : k + COLUMNS_PER_TASK] = average_precision(ranks, labels_NT)
        return ap_KT

    labels_NT = labels_NT.astype(bool, copy=False)
    n_shown_N = np.count_nonzero(labels_NT, axis=1)
    # The traits of image i are traits[offsets[i] : offsets[i + 1]].
    offsets = np.concatenate([[0], np.cumsum(n_shown_N)]).astype(np.uint32)
    traits = np.nonzero(labels_NT)[1].astype(np.uint16)
    n_shown_T = np.count_nonzero(labels_NT, axis=0).astype(np.float64)
    bits_NK = scores_NK.astype(np.float32, copy=False).view(np.uint32)
    nan_K = np.zeros(n_prototypes, np.bool_)
    _fill(bits_NK, offsets, traits, n_shown_T, ap_KT, nan_K)
    _refuse_nan(nan_K)
    return ap_KT


def _check(scores_NK: np.ndarray, labels_NT: np.ndarray) -> None:
    """Refuse invalid arguments, since the kernels check nothing."""
    if scores_NK.shape[0] != labels_NT.shape[0]:
        raise ValueError(
            f"scores are of {scores_NK.shape[0]} images and labels of "
            f"{labels_NT.shape[0]}: pass the same images in the same order"
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


def _refuse_nan(nan_K: np.ndarray) -> None:
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
def _fill(bits_NK, offsets, traits, n_shown_T, ap_KT, nan_K):
    """Write the AP of all prototypes; a task does a few columns of the scores.

    Tasks are independent, so the number of threads does not change the result.
    """
    n_images, n_prototypes = bits_NK.shape
    inverse = 1.0 / np.maximum(np.arange(n_images + 1), 1)
    n_tasks = (n_prototypes + COLUMNS_PER_TASK - 1) // COLUMNS_PER_TASK
    for task in numba.prange(n_tasks):
        first = task * COLUMNS_PER_TASK
        n_columns = min(COLUMNS_PER_TASK, n_prototypes - first)
        keys_KN = np.empty((n_columns, n_images), np.uint32)
        _copy_keys(bits_NK, first, keys_KN, nan_K)
        items = np.empty(n_images, np.uint64)
        spare = np.empty(n_images, np.uint64)
        counters = np.empty(1 << DIGIT_BITS, np.uint32)
        count_T = np.empty(len(n_shown_T))
        sum_T = np.empty(len(n_shown_T))
        for k in range(n_columns):
            order = descending(keys_KN[k], items, spare, counters)
            count_T[:] = 0.0
            sum_T[:] = 0.0
            _walk(order, offsets, traits, inverse, count_T, sum_T)
            # The rest of the images tie for the lowest score. Their precision is the
            # prevalence, so they need neither be sorted nor walked.
            for t in range(len(n_shown_T)):
                n_shown = n_shown_T[t]
                if n_shown > 0:
                    rest = (n_shown - count_T[t]) * (n_shown / n_images)
                    ap_KT[first + k, t] = (sum_T[t] + rest) / n_shown


@typing.no_type_check
@numba.njit(cache=True)
def _copy_keys(bits_NK, first, keys_KN, nan_K):
    """Transpose some columns into integer keys that rise as the scores fall.

    The bits of a float32, read as an integer, rise with positive numbers and fall with
    negative ones. Those of -0.0 (0x80000000) less one are the key of +0.0: both tie.
    """
    n_columns, n_images = keys_KN.shape
    for start in range(0, n_images, IMAGES_PER_TILE):
        stop = min(start + IMAGES_PER_TILE, n_images)
        for k in range(n_columns):
            largest = np.uint32(0)
            for i in range(start, stop):
                bits = bits_NK[i, first + k]
                magnitude = bits & np.uint32(0x7FFFFFFF)
                largest = max(largest, magnitude)
                negative = bits > np.uint32(0x7FFFFFFF)
                keys_KN[k, i] = bits - 1 if negative else 0x7FFFFFFF - bits
            nan_K[first + k] |= largest > np.uint32(0x7F800000)


@typing.no_type_check
@numba.njit(cache=True)
def descending(key_N, items, spare, counters):
    """Sort the images above the lowest score, best first, as key << 32 | image.

    A radix sort from the lowest digit, over the bits in which the keys differ.
    """
    low, high = np.uint32(0xFFFFFFFF), np.uint32(0)
    for key in key_N:
        low, high = min(low, key), max(high, key)
    n_items = 0
    for i in range(len(key_N)):
        items[n_items] = np.uint64(key_N[i] - low) << np.uint64(32) | np.uint64(i)
        n_items += key_N[i] != high
    n_bits = 0
    while (high - low) >> n_bits:
        n_bits += 1
    n_digits = (n_bits + DIGIT_BITS - 1) // DIGIT_BITS
    width = (n_bits + n_digits - 1) // max(n_digits, 1)
    mask = np.uint64((1 << width) - 1)
    for digit in range(n_digits):
        shift = np.uint64(32 + digit * width)
        counters[: 1 << width] = 0
        for i in range(n_items):
            counters[(items[i] >> shift) & mask] += np.uint32(1)
        n_before = np.uint32(0)
        for value in range(1 << width):
            n_here = counters[value]
            counters[value] = n_before
            n_before += n_here
        for i in range(n_items):
            value = (items[i] >> shift) & mask
            spare[counters[value]] = items[i]
            counters[value] += np.uint32(1)
        items, spare = spare, items
    return items[:n_items]


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
