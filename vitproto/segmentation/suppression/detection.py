"""Measure how well each latent detects each class of patches, from nonzero values.

V nonzero values of S latents; T is S + 1. C classes.
"""

import typing
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt16

from vitproto.traits.radix_sort import DIGIT_BITS, descending

LATENTS_PER_TASK = 16
"""Latents that a thread takes at once. Some latents are a thousand times as frequent as
others, so equal shares of latents would not be equal shares of work."""


class Detection(NamedTuple):
    """How well each latent detects each class; NaN for a class without patches."""

    ap_SC: Float64[np.ndarray, "s c"]
    """Average precision over the patches."""
    f1_SC: Float64[np.ndarray, "s c"]
    """The best F1 of all thresholds."""
    threshold_SC: Float32[np.ndarray, "s c"]
    """The threshold with the best F1, the highest if there are several. The class is
    predicted where the latent is at least the threshold; with 0, everywhere."""
    n_active_SC: Int64[np.ndarray, "s c"]
    """Patches of the class on which the latent is active."""


def detect(
    start_T: Int64[np.ndarray, " t"],
    class_V: UInt16[np.ndarray, " v"],
    value_V: Float32[np.ndarray, " v"],
    n_patches_C: Int64[np.ndarray, " c"],
) -> Detection:
    """Measure AP and best F1 of each latent for each class.

    Each patch has exactly one class, and most latents are 0 on it. All patches where a
    latent is 0 tie for its lowest value, so they are counted, not listed. AP is that of
    `vitproto.traits.average_precision`, ties counted together. F1 is
    2 · hits / (patches predicted + patches of the class), for each threshold that is a
    value of the latent, 0 included.

    The work grows with V and with S · C; each latent is sorted once for all classes.
    The result takes 28 bytes per latent and class. The order of patches and the number
    of threads do not change a bit.

    Args:
        start_T: latent s is active on patches start[s] to start[s + 1], exclusive.
        class_V: the class of each of these patches, counted from 0.
        value_V: the value of the latent there, above 0; in any order within a latent.
        n_patches_C: the number of all patches of each class.
    """
    n_latents = len(start_T) - 1
    shape = (n_latents, len(n_patches_C))
    detection = Detection(
        np.full(shape, np.nan),
        np.full(shape, np.nan),
        np.full(shape, np.nan, np.float32),
        np.zeros(shape, np.int64),
    )
    if n_patches_C.sum() > 0:
        with numba.parallel_chunksize(LATENTS_PER_TASK):
            _fill(start_T, class_V, value_V, n_patches_C, *detection)
    return detection


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _fill(
    start_T, class_V, value_V, n_patches_C, ap_SC, f1_SC, threshold_SC, n_active_SC
):
    """Write the results of all latents, which are independent of each other."""
    n_patches = n_patches_C.sum()
    n_classes = len(n_patches_C)
    inverse = 1.0 / np.maximum(np.arange(n_patches + 1), 1)
    for s in numba.prange(len(start_T) - 1):
        class_N = class_V[start_T[s] : start_T[s + 1]]
        value_N = value_V[start_T[s] : start_T[s + 1]]
        has_zeros = len(value_N) < n_patches
        order, lowest = _ranking(value_N, has_zeros)
        count_C = np.zeros(n_classes)
        sum_C = np.zeros(n_classes)
        best_C = np.zeros(n_classes)
        threshold_C = threshold_SC[s]
        _walk(
            order,
            class_N,
            value_N,
            n_patches_C,
            inverse,
            count_C,
            sum_C,
            best_C,
            threshold_C,
        )
        # The rest of the patches tie for the lowest value. The precision there is the
        # share of the class, and F1 is that of predicting the class everywhere.
        for c in range(n_classes):
            n_shown = n_patches_C[c]
            n_active_SC[s, c] = count_C[c] if has_zeros else n_shown
            if n_shown > 0:
                rest = (n_shown - count_C[c]) * (n_shown / n_patches)
                ap_SC[s, c] = (sum_C[c] + rest) / n_shown
                f1_SC[s, c] = 2.0 * n_shown / (n_patches + n_shown)
                if best_C[c] >= f1_SC[s, c]:
                    f1_SC[s, c] = best_C[c]
                else:
                    threshold_C[c] = lowest


@typing.no_type_check
@numba.njit(cache=True)
def _ranking(value_N, has_zeros):
    """Sort the patches above the lowest value, as `descending` does; and that value.

    All zeros are represented by one more item, just below the lowest listed value.
    """
    n = len(value_N)
    bits_N = value_N.view(np.uint32)
    keys = np.empty(n + has_zeros, np.uint32)
    last, lowest = np.uint32(0), np.float32(np.inf)
    for i in range(n):
        keys[i] = np.uint32(0x7FFFFFFF) - bits_N[i]
        last, lowest = max(last, keys[i]), min(lowest, value_N[i])
    if has_zeros:
        keys[n], lowest = last + np.uint32(1), np.float32(0)
    items = np.empty(len(keys), np.uint64)
    spare = np.empty(len(keys), np.uint64)
    counters = np.empty(1 << DIGIT_BITS, np.uint32)
    return descending(keys, items, spare, counters), lowest


@typing.no_type_check
@numba.njit(cache=True)
def _walk(
    order, class_N, value_N, n_patches_C, inverse, count_C, sum_C, best_C, threshold_C
):
    """Walk down the ranking, count each class, sum precisions, and keep the best F1.

    F1 of a class falls between two of its patches, so it is computed at these only.
    """
    half, patch_mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and order[stop] >> half == order[start] >> half:
            stop += 1
        if stop == start + 1:  # no tie: count and sum in one pass
            patch = order[start] & patch_mask
            c = class_N[patch]
            count = count_C[c] + 1.0
            count_C[c] = count
            sum_C[c] += count * inverse[stop]
            f1 = 2.0 * count / (stop + n_patches_C[c])
            # Written without a branch, which would be unpredictable.
            best, threshold = best_C[c], threshold_C[c]
            is_better = f1 > best
            best_C[c] = f1 if is_better else best
            threshold_C[c] = value_N[patch] if is_better else threshold
        else:  # precision includes all tied patches, so count them first
            for i in range(start, stop):
                count_C[class_N[order[i] & patch_mask]] += 1.0
            for i in range(start, stop):
                patch = order[i] & patch_mask
                c = class_N[patch]
                sum_C[c] += count_C[c] * inverse[stop]
                f1 = 2.0 * count_C[c] / (stop + n_patches_C[c])
                if f1 > best_C[c]:
                    best_C[c] = f1
                    threshold_C[c] = value_N[patch]
        start = stop
