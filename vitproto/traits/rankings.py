"""Rankings that are sorted once, to rate by many tables of labels."""

import typing

import numba
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from vitproto.traits.average_precision import (
    COLUMNS_PER_TASK,
    invert,
    list_shown,
    make_sums,
    rate,
    refuse_nan,
)
from vitproto.traits.radix_sort import DIGIT_BITS, copy_keys, descending


class Rankings:
    """Some images, ranked by each of some prototypes.

    Sorts once, where `average_precision` sorts at each call; the APs have the same
    bits. Holds 8 bytes for each score.
    """

    def __init__(self, scores_NK: Float32[np.ndarray, "n k"]):
        """Sort the images by each prototype.

        Raises:
            ValueError: a score is NaN.
        """
        n_images, n_prototypes = scores_NK.shape
        self._items_KN = np.empty((n_prototypes, n_images), np.uint64)
        self._n_items_K = np.zeros(n_prototypes, np.int64)
        nan_K = np.zeros(n_prototypes, np.bool_)
        bits_NK = scores_NK.view(np.uint32)
        _sort_all(bits_NK, self._items_KN, self._n_items_K, nan_K)
        refuse_nan(nan_K)

    def average_precision(
        self, labels_NT: Bool[np.ndarray, "n t"], known_NT: Bool[np.ndarray, "n t"]
    ) -> Float[np.ndarray, "k t"]:
        """The AP of every prototype for every trait, as `average_precision` says."""
        ap_KT = np.full((len(self._items_KN), labels_NT.shape[1]), np.nan)
        shown = list_shown(labels_NT, known_NT)
        _rate_all(self._items_KN, self._n_items_K, shown, ap_KT)
        return ap_KT

    def average_precision_of(
        self,
        prototype_T: Int[np.ndarray, " t"],
        labels_NT: Bool[np.ndarray, "n t"],
        known_NT: Bool[np.ndarray, "n t"],
    ) -> Float[np.ndarray, " t"]:
        """The AP of one prototype for each trait; NaN if no image shows the trait."""
        ap_T = np.full(len(prototype_T), np.nan)
        labels_TN = np.ascontiguousarray((labels_NT & known_NT).T)
        known_TN = np.ascontiguousarray(known_NT.T)
        ranked = self._items_KN, self._n_items_K
        _rate_chosen(*ranked, prototype_T, labels_TN, known_TN, ap_T)
        return ap_T


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _sort_all(bits_NK, items_KN, n_items_K, nan_K):
    """Sort the images by each prototype, and keep them."""
    n_images, n_prototypes = bits_NK.shape
    n_tasks = (n_prototypes + COLUMNS_PER_TASK - 1) // COLUMNS_PER_TASK
    for task in numba.prange(n_tasks):
        first = task * COLUMNS_PER_TASK
        n_columns = min(COLUMNS_PER_TASK, n_prototypes - first)
        keys_KN = np.empty((n_columns, n_images), np.uint32)
        copy_keys(bits_NK, first, keys_KN, nan_K)
        items = np.empty(n_images, np.uint64)
        spare = np.empty(n_images, np.uint64)
        counters = np.empty(1 << DIGIT_BITS, np.uint32)
        for k in range(n_columns):
            order = descending(keys_KN[k], items, spare, counters)
            n_items_K[first + k] = len(order)
            items_KN[first + k, : len(order)] = order


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _rate_all(items_KN, n_items_K, shown, ap_KT):
    """Write the AP of all prototypes whose images are sorted."""
    n_prototypes, n_images = items_KN.shape
    inverse = invert(n_images)
    n_tasks = (n_prototypes + COLUMNS_PER_TASK - 1) // COLUMNS_PER_TASK
    for task in numba.prange(n_tasks):
        first = task * COLUMNS_PER_TASK
        sums = make_sums(len(shown.n_shown_T))
        for k in range(first, min(first + COLUMNS_PER_TASK, n_prototypes)):
            rate(items_KN[k, : n_items_K[k]], shown, inverse, sums, ap_KT[k])


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _rate_chosen(items_KN, n_items_K, prototype_T, labels_TN, known_TN, ap_T):
    """Write the AP of one prototype for each trait, of whose labels it walks a row."""
    half, image_mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    for t in numba.prange(len(prototype_T)):
        n_shown, n_known = labels_TN[t].sum(), known_TN[t].sum()
        if n_shown > 0:
            order = items_KN[prototype_T[t], : n_items_K[prototype_T[t]]]
            n_above, n_found, total = 0, 0, 0.0
            start = 0
            while start < len(order):
                stop, n_tied = start, 0
                while stop < len(order) and order[stop] >> half == order[start] >> half:
                    image = order[stop] & image_mask
                    n_above += known_TN[t, image]
                    n_tied += labels_TN[t, image]
                    stop += 1
                n_found += n_tied
                for _ in range(n_tied):  # not n_tied times, which rounds otherwise
                    total += n_found * (1.0 / n_above)
                start = stop
            rest = (n_shown - n_found) * (n_shown / n_known)
            ap_T[t] = (total + rest) / n_shown
