"""How well does each latent detect each class of patches, from non-zero values alone?

V non-zero values of S latents; T is S + 1. C classes.
"""

import typing
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt16

from vitproto.traits.average_precision import DIGIT_BITS, descending

LATENTS_PER_TASK = 16
"""Latents that a thread takes at once: some are a thousand times as frequent as
others, and an even share of the latents is no even share of the work."""


class Detection(NamedTuple):
    """How well each latent detects each class; NaN for a class without patches."""

    ap_SC: Float64[np.ndarray, "s c"]
    """Average precision over the patches."""
    f1_SC: Float64[np.ndarray, "s c"]
    """The best F1 of all thresholds."""
    threshold_SC: Float32[np.ndarray, "s c"]
    """The threshold that reaches it, the highest if several do: the class is predicted
    where the latent is at least that. At 0 it is predicted everywhere."""
    n_active_SC: Int64[np.ndarray, "s c"]
    """Patches of the class on which the latent is active."""


def detect(
    start_T: Int64[np.ndarray, " t"],
    class_V: UInt16[np.ndarray, " v"],
    value_V: Float32[np.ndarray, " v"],
    n_patches_C: Int64[np.ndarray, " c"],
) -> Detection:
    """How well does each latent detect each class?

    Each patch has exactly one class, and most latents are 0 on it. Patches where a
    latent is 0 all tie for its lowest value, so they are counted and not listed. AP is
    that of `vitproto.traits.average_precision`, ties counted together. F1 is
    2 · hits / (patches predicted + patches of the class), for each threshold that is a
    value of the latent, 0 included.

    Work grows with V, and with S · C for the answers. A latent is sorted once for all
    classes. 28 bytes of answers per latent and class.

    Args:
        start_T: latent s is active on patches start[s] to start[s + 1], exclusive.
        class_V: the class of each of these patches, counted from 0.
        value_V: the latent there, above 0; in any order within a latent.
        n_patches_C: the patches of each class; together all patches.

    Returns:
        The same to the last bit whatever the order of patches and the number of
        threads.
    """
    n_latents = len(start_T) - 1
    shape = (n_latents, len(n_patches_C))
    found = Detection(
        np.full(shape, np.nan),
        np.full(shape, np.nan),
        np.full(shape, np.nan, np.float32),
        np.zeros(shape, np.int64),
    )
    if n_patches_C.sum() > 0:
        with numba.parallel_chunksize(LATENTS_PER_TASK):
            _fill(start_T, class_V, value_V, n_patches_C, *found)
    return found


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _fill(
    start_T, class_V, value_V, n_patches_C, ap_SC, f1_SC, threshold_SC, n_active_SC
):
    """All latents; what one writes no other touches."""
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
        # All that is left ties for the lowest value. The precision there is the share
        # of the class, and F1 is that of predicting it everywhere.
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
    """The patches above the lowest value, as `descending` gives them, and that value.

    One more item stands for all zeros: a value just below the lowest that is listed.
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
    """Go down the ranking: count each class, sum precisions, and keep the best F1.

    Between two patches of a class its F1 falls, so it is asked for at these alone.
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
            # Written so that it takes no branch, which none could foresee.
            best, threshold = best_C[c], threshold_C[c]
            is_better = f1 > best
            best_C[c] = f1 if is_better else best
            threshold_C[c] = value_N[patch] if is_better else threshold
        else:  # a precision counts the whole group, so count it first
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
