"""AP in many resamples of the test images, exact in each, ties counted together.

N images in G groups, R resamples, M columns: each one prototype's scores and one trait.
"""

import typing

import numba
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from vitproto.traits.radix_sort import descending

MAX_COUNT = 65_535
"""Counts are stored in 16 bits, which halves the memory that the walk reads."""


def resample_ap(
    scores_NM: Float32[np.ndarray, "n m"],
    labels_NM: Bool[np.ndarray, "n m"],
    group_N: Int[np.ndarray, " n"],
    counts_RG: Int[np.ndarray, "r g"],
    known_NM: Bool[np.ndarray, "n m"] | None = None,
) -> Float[np.ndarray, "r m"]:
    """AP of each column in each resample of groups of images.

    A resample takes all images of a group as often as it takes the group. The AP is
    that of the resampled images: copies of an image tie with each other. It equals
    scikit-learn's `average_precision_score` with the counts as `sample_weight`. Each
    column is sorted once; the resamples are walked together.

    Args:
        scores_NM: higher means that the prototype is present; infinities allowed.
        labels_NM: which images show the column's trait.
        group_N: the group of each image, from 0.
        counts_RG: how often each resample takes each group, at most `MAX_COUNT`.
        known_NM: which labels are known; an image whose label is unknown is left out
            of the column. None if all are.

    Returns:
        AP in float64; NaN where no image of the resample shows the trait. The number of
        threads does not change a bit.

    Raises:
        ValueError: a score is NaN, or a count is negative or above `MAX_COUNT`.
    """
    if counts_RG.size and not 0 <= counts_RG.min() <= counts_RG.max() <= MAX_COUNT:
        raise ValueError(
            f"counts of {counts_RG.min()} to {counts_RG.max()}: a resample takes a "
            f"group 0 to {MAX_COUNT:,} times"
        )
    if np.isnan(scores_NM).any():
        raise ValueError(
            f"the scores of column {np.isnan(scores_NM).any(axis=0).argmax()} contain "
            "NaN, which has no rank: look for overflow in the activations"
        )
    n_resamples, n_columns = len(counts_RG), scores_NM.shape[1]
    ap_MR = np.full((n_columns, n_resamples), np.nan)
    if len(scores_NM) and ap_MR.size:
        counts_GR = np.ascontiguousarray(counts_RG.T.astype(np.uint16))
        if known_NM is None:
            known_NM = np.ones((1, n_columns), np.bool_)
        _fill(
            np.ascontiguousarray(scores_NM.T).view(np.uint32),
            np.ascontiguousarray(labels_NM.T),
            np.ascontiguousarray(known_NM.T),
            group_N.astype(np.int64),
            counts_GR,
            ap_MR,
        )
    return ap_MR.T


@typing.no_type_check
@numba.njit(parallel=True, cache=True)
def _fill(bits_MN, labels_MN, known_MN, group_N, counts_GR, ap_MR):
    """Write the AP of each column; columns are independent."""
    n_columns, n_images = bits_MN.shape
    n_resamples = counts_GR.shape[1]
    all_known = known_MN.shape[1] == 1
    for m in numba.prange(n_columns):
        # Sort the images whose label is known.
        n_known = 0
        image_N = np.empty(n_images, np.int64)
        bits_N = np.empty(n_images, np.uint32)
        for i in range(n_images):
            if all_known or known_MN[m, i]:
                image_N[n_known] = i
                bits_N[n_known] = bits_MN[m, i]
                n_known += 1
        key_N = np.empty(n_known, np.uint32)
        for j in range(n_known):
            bits = bits_N[j]
            negative = bits > np.uint32(0x7FFFFFFF)
            key_N[j] = bits - 1 if negative else 0x7FFFFFFF - bits
        items = np.empty(n_known, np.uint64)
        spare = np.empty(n_known, np.uint64)
        order = descending(key_N, items, spare, np.empty(1 << 11, np.uint32))

        shown_R = np.zeros(n_resamples, np.int32)
        taken_R = np.zeros(n_resamples, np.int32)
        for j in range(n_known):
            counts_R = counts_GR[group_N[image_N[j]]]
            _add(taken_R, counts_R)
            if labels_MN[m, image_N[j]]:
                _add(shown_R, counts_R)
        total_R, total_shown_R = taken_R.copy(), shown_R.copy()
        shown_R[:] = 0
        taken_R[:] = 0
        sum_R = np.zeros(n_resamples)
        tied_R = np.empty(n_resamples, np.int32)
        _walk(
            *(order, image_N, labels_MN[m], group_N, counts_GR),
            *(taken_R, shown_R, tied_R, sum_R),
        )
        # The rest of the images tie for the lowest score: their precision is the share
        # of all images that show the trait.
        for r in range(n_resamples):
            if total_shown_R[r] > 0:
                n_shown = np.float64(total_shown_R[r])
                rest = (n_shown - shown_R[r]) * (n_shown / total_R[r])
                ap_MR[m, r] = (sum_R[r] + rest) / n_shown


@typing.no_type_check
@numba.njit(cache=True)
def _walk(order, image_N, label_N, group_N, counts_GR, taken_R, shown_R, tied_R, sum_R):
    """Walk down the ranking; sum, in each resample, the precision at its positives."""
    half, place_mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    start = 0
    while start < len(order):
        # All images with this score, and how many of them show the trait.
        key = order[start] >> half
        stop = start
        n_shown, group = 0, 0
        while stop < len(order) and order[stop] >> half == key:
            image = image_N[order[stop] & place_mask]
            _add(taken_R, counts_GR[group_N[image]])
            if label_N[image]:
                n_shown += 1
                group = group_N[image]
                if n_shown == 1:
                    tied_R[:] = 0
                _add(tied_R, counts_GR[group])
            stop += 1
        if n_shown:
            _add_precision(tied_R, taken_R, shown_R, sum_R)
        start = stop


@typing.no_type_check
@numba.njit(cache=True)
def _add(total_R, counts_R):
    for r in range(len(total_R)):
        total_R[r] += np.int32(counts_R[r])


@typing.no_type_check
@numba.njit(cache=True, error_model="numpy")
def _add_precision(tied_R, taken_R, shown_R, sum_R):
    """Count the tied positives, each with the precision among all images so far."""
    for r in range(len(sum_R)):
        shown = shown_R[r] + tied_R[r]
        shown_R[r] = shown
        # Where a resample has taken no image yet, tied is 0.
        taken = max(taken_R[r], np.int32(1))
        sum_R[r] += np.float64(tied_R[r]) * np.float64(shown) / np.float64(taken)


def draw_counts(
    n_groups: int, n_resamples: int, rng: np.random.Generator
) -> Int[np.ndarray, "r g"]:
    """Draw how often each resample takes each group: n − 1 of n with replacement.

    n draws would make the variance of a mean too small by the factor (n − 1) / n.
    """
    shares = np.full(n_groups, 1 / n_groups)
    return rng.multinomial(max(n_groups - 1, 1), shares, size=n_resamples)
