"""Predict every pixel from the logits of patches, and count predictions.

Logits are upsampled bilinearly, as by `torch.nn.functional.interpolate` with
`align_corners=False`: a patch's logits apply at its centre, are blended between the
centres of four patches, and are constant beyond the outermost centres. The prediction
for a pixel is the class with the highest logit; of equal ones the first.

Upsampled logits are never stored, and most are never computed. Between four centres,
the logit of a class lies between the lowest and the highest of its four logits. So a
class whose highest lies below another's lowest cannot win there. Only the classes that
are left, often a single one, are blended.

E edits or probes, P patches, C classes, H × W pixels of the window. A cell is the
rectangle of pixels between the centres of neighbouring patches, or between the
outermost centres and the edge.
"""

import typing
from typing import NamedTuple

import numba
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Integer, UInt16
from torch import Tensor
from torch.nn.functional import interpolate

MARGIN = np.float32(4e-6)
"""Blending rounds, so a class is left out only if it loses by more than this share of
the image's largest logit: three times the rounding errors of two classes."""

GPU_LOGITS = 2**27
"""Upsampled logits in a GPU's memory at a time: 512 MB, with a few copies."""

NOT_FINITE = np.uint32(0x7F800000)
"""The bits of infinity; larger ones are NaN."""


class PixelCounts(NamedTuple):
    """Numbers of labelled pixels of an image, by edit and class."""

    predicted_EC: Int64[np.ndarray, "e c"]
    """Pixels for which the class is predicted."""
    hit_EC: Int64[np.ndarray, "e c"]
    """Pixels for which it is predicted correctly."""


def true_C(
    mask_HW: UInt16[np.ndarray, "h w"], n_classes: int
) -> Int64[np.ndarray, " c"]:
    """The number of pixels of each class in a mask. Labels are 1 to C; 0 is none."""
    return np.bincount(mask_HW.ravel(), minlength=n_classes + 1)[1:]


def count_pixels(
    logits_EPC: Float32[np.ndarray, "e p c"],
    mask_HW: UInt16[np.ndarray, "h w"],
    grid: tuple[int, int],
) -> PixelCounts:
    """Compare predictions for every pixel of an image with its mask.

    Runs on one core, without Python's lock: callers distribute images among threads.

    Args:
        logits_EPC: the logits of each edit or probe; patches row by row.
        mask_HW: labels 1 to C; pixels of label 0 are not counted.
        grid: rows and columns of patches. The window consists of whole patches.

    Raises:
        ValueError: a logit is not finite.
    """
    patch_side = _check(logits_EPC, mask_HW.shape, grid)
    n_edits, _, n_classes = logits_EPC.shape
    assert mask_HW.max(initial=0) <= n_classes, "the mask shows unknown classes"
    predicted_EC = np.zeros((n_edits, n_classes), np.int64)
    hit_EC = np.zeros((n_edits, n_classes), np.int64)
    logits_EPC = np.ascontiguousarray(logits_EPC)
    label_X = _by_cell(mask_HW, *grid, patch_side)
    if not _count(logits_EPC, label_X, *grid, patch_side, predicted_EC, hit_EC):
        raise _not_finite()
    return PixelCounts(predicted_EC, hit_EC)


def predict_pixels(
    logits_PC: Float32[np.ndarray, "p c"], grid: tuple[int, int], patch_side: int
) -> UInt16[np.ndarray, "h w"]:
    """Predict the label, 1 to C, of every pixel of an image.

    Args:
        logits_PC: patches row by row.
        grid: rows and columns of patches.
        patch_side: the side of a patch in pixels.

    Raises:
        ValueError: a logit is not finite.
    """
    shape = (grid[0] * patch_side, grid[1] * patch_side)
    _check(logits_PC[None], shape, grid)
    label_HW = np.empty(shape, np.uint16)
    if not _predict(np.ascontiguousarray(logits_PC), *grid, patch_side, label_HW):
        raise _not_finite()
    return label_HW


@torch.inference_mode()
def count_pixels_on(
    logits_EPC: Float[Tensor, "e p c"],
    mask_HW: Integer[Tensor, "h w"],
    grid: tuple[int, int],
) -> PixelCounts:
    """`count_pixels` on a GPU, where upsampling is cheap.

    It upsamples as many edits and classes at once as `GPU_LOGITS` allows.

    Args:
        logits_EPC: the logits of each edit or probe; patches row by row.
        mask_HW: on the same device; labels 1 to C, 0 is not counted.
        grid: rows and columns of patches.
    """
    n_edits, _, n_classes = logits_EPC.shape
    mask_X = mask_HW.flatten().long()
    is_labelled_X = mask_X > 0
    truth_X = mask_X[is_labelled_X] - 1
    n_classes_at_once = min(n_classes, max(1, GPU_LOGITS // mask_HW.numel()))
    n_at_once = max(1, GPU_LOGITS // (mask_HW.numel() * n_classes_at_once))
    counts = ([], [])
    for some_EPC in logits_EPC.split(n_at_once):
        some_ECRS = some_EPC.transpose(1, 2).contiguous().unflatten(2, grid)
        class_EX = _best_class(some_ECRS, mask_HW.shape, n_classes_at_once)
        class_EX = class_EX.flatten(1)[:, is_labelled_X]
        row_E1 = torch.arange(len(class_EX), device=class_EX.device)[:, None]
        bin_EX = row_E1 * n_classes + class_EX
        n_bins = len(class_EX) * n_classes
        for parts, bins in zip(
            counts, (bin_EX, bin_EX[class_EX == truth_X]), strict=True
        ):
            count = torch.bincount(bins.flatten(), minlength=n_bins)
            parts.append(count.view(-1, n_classes).cpu().numpy())
    if not counts[0]:
        counts = ([np.zeros((n_edits, n_classes), np.int64)],) * 2
    return PixelCounts(*map(np.concatenate, counts))


def _best_class(
    logits_ECRS: Tensor, shape: tuple[int, int], n_classes_at_once: int
) -> Tensor:
    """The class of the highest logit at each pixel; of equal ones the first."""
    best_EHW = class_EHW = None
    for i, some_ECRS in enumerate(logits_ECRS.split(n_classes_at_once, dim=1)):
        some_ECHW = interpolate(some_ECRS, shape, mode="bilinear", align_corners=False)
        value_EHW, index_EHW = some_ECHW.max(dim=1)
        if class_EHW is None:
            best_EHW, class_EHW = value_EHW, index_EHW
        else:
            index_EHW += i * n_classes_at_once
            class_EHW = torch.where(value_EHW > best_EHW, index_EHW, class_EHW)
            best_EHW = torch.maximum(value_EHW, best_EHW)
    return class_EHW


def _check(
    logits_EPC: np.ndarray, shape: tuple[int, int], grid: tuple[int, int]
) -> int:
    """Assert that the kernels stay within their arrays; returns a patch's side."""
    n_rows, n_columns = grid
    _, n_patches, n_classes = logits_EPC.shape
    assert n_patches == n_rows * n_columns, (n_patches, grid)
    assert 0 < n_classes <= np.iinfo(np.uint16).max, n_classes
    patch_side = shape[0] // n_rows
    assert shape == (n_rows * patch_side, n_columns * patch_side), (shape, grid)
    return patch_side


def _not_finite() -> ValueError:
    return ValueError(
        "a logit is infinite or NaN: look for overflow in the activations or in the "
        "probe's weights"
    )


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _span(i, n, side):
    """The first pixel of cell i of n + 1 along one axis, and the one after its last."""
    half = side // 2
    return max(0, (i - 1) * side + half), min(n * side, i * side + half)


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _by_cell(mask_HW, n_rows, n_columns, side):
    """The labels of all pixels, cell by cell, each row by row."""
    label_X = np.empty(mask_HW.size, np.int32)
    n = 0
    for i in range(n_rows + 1):
        y_start, y_stop = _span(i, n_rows, side)
        for j in range(n_columns + 1):
            x_start, x_stop = _span(j, n_columns, side)
            for y in range(y_start, y_stop):
                for x in range(x_start, x_stop):
                    label_X[n] = mask_HW[y, x]
                    n += 1
    return label_X


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _weights(side):
    """The position of each pixel of a cell between two centres, from 0 to 1.

    In the outermost cells both centres are the same, so weights do not matter there.
    """
    weight_X = np.empty(side, np.float32)
    for k in range(side):
        weight_X[k] = np.float32((side // 2 + k + 0.5) / side - 0.5)
    return weight_X


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _largest(logits_PC):
    """The bits of the largest absolute logit; NaN counts as largest."""
    bits_V = logits_PC.reshape(-1).view(np.uint32)
    largest = np.uint32(0)
    for bits in bits_V:
        largest = max(largest, bits & np.uint32(0x7FFFFFFF))
    return largest


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _range_of_pairs(top_SC, bottom_SC, low_SC, high_SC):
    """The lower and the higher logit of each patch and the one below it."""
    for s in range(len(top_SC)):
        for c in range(top_SC.shape[1]):
            a, b = top_SC[s, c], bottom_SC[s, c]
            low_SC[s, c] = a if a < b else b
            high_SC[s, c] = b if a < b else a


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _margin(largest):
    """`MARGIN` in logits, from the bits of the largest one."""
    return MARGIN * np.array([largest], np.uint32).view(np.float32)[0]


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _rows_of(logits_PC, i, n_rows, n_columns):
    """The logits of the patches above and below the cells of row i."""
    top = max(i - 1, 0) * n_columns
    bottom = min(i, n_rows - 1) * n_columns
    return logits_PC[top : top + n_columns], logits_PC[bottom : bottom + n_columns]


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _candidates_of_cell(low_SC, high_SC, j, margin, class_K):
    """List the classes that may win in cell j of a row, ascending; returns how many."""
    left, right = max(j - 1, 0), min(j, len(low_SC) - 1)
    lows, highs = (low_SC[left], low_SC[right]), (high_SC[left], high_SC[right])
    return _candidates(*lows, *highs, margin, class_K)


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _candidates(low_left_C, low_right_C, high_left_C, high_right_C, margin, class_K):
    """List the classes that may win, ascending; returns how many.

    A class may win if its highest logit is at least the lowest logit of every other
    class, within `margin`.
    """
    bound = _highest_of_lower(low_left_C, low_right_C) - margin
    n = np.uint64(0)  # Python's rule for negative indices would cost as much again
    for c in range(len(high_left_C)):
        class_K[n] = c
        n += np.uint64((high_left_C[c] >= bound) | (high_right_C[c] >= bound))
    return np.int64(n)


@typing.no_type_check
@numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _highest_of_lower(left_C, right_C):
    """The largest, over classes, of the smaller of two logits."""
    highest = np.float32(-np.inf)
    for c in range(len(left_C)):
        highest = max(highest, min(left_C[c], right_C[c]))
    return highest


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _count_alone(label_X, c, predicted_C, hit_C):
    """Count a cell in which no other class can win."""
    n_predicted, n_hit = 0, 0
    for label in label_X:
        n_predicted += label != 0
        n_hit += label == c + 1
    predicted_C[c] += n_predicted
    hit_C[c] += n_hit


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _count_each(label_X, class_X, predicted_C, hit_C):
    """Count the pixels of a cell by predicted class."""
    for x in range(len(label_X)):
        c, label = class_X[x], label_X[x]
        predicted_C[c] += label != 0
        hit_C[c] += label == c + 1


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _enter_corners(top_SC, bottom_SC, j, class_K, n, corner_4C):
    """Write the logits of n classes at the corners of cell j of a row."""
    left, right = max(j - 1, 0), min(j, len(top_SC) - 1)
    for k in range(n):
        c = class_K[k]
        corner_4C[0, k] = top_SC[left, c]
        corner_4C[1, k] = top_SC[right, c]
        corner_4C[2, k] = bottom_SC[left, c]
        corner_4C[3, k] = bottom_SC[right, c]


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _blend_ends(corner_4C, weight, left_K, right_K):
    """Write the logits of classes at the left and right end of a row of pixels."""
    for k in range(len(left_K)):
        top, bottom = corner_4C[0, k], corner_4C[2, k]
        left_K[k] = top + weight * (bottom - top)
        top, bottom = corner_4C[1, k], corner_4C[3, k]
        right_K[k] = top + weight * (bottom - top)


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _best_of_row(left_K, right_K, place_K, n, class_K, weight_X, best_X, class_X):
    """Find the best of n classes for each pixel of a row; of equal ones the first."""
    k = place_K[0]
    left, step = left_K[k], right_K[k] - left_K[k]
    first = class_K[k]
    for x in range(len(weight_X)):
        best_X[x] = left + weight_X[x] * step
        class_X[x] = first
    for i in range(1, n):
        k = place_K[i]
        left, step = left_K[k], right_K[k] - left_K[k]
        c = np.int64(class_K[k])  # with int32 the loop below is not vectorised
        for x in range(len(weight_X)):
            value = left + weight_X[x] * step
            is_better = value > best_X[x]
            best_X[x] = value if is_better else best_X[x]
            class_X[x] = c if is_better else class_X[x]


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _find_classes(
    top_SC, bottom_SC, j, class_K, n, margin, height, width, weight_X, scratch, class_X
):
    """Find the class of each pixel of cell j of a row, among n that may win there."""
    corner_4C, left_C, right_C, place_C, best_X, best_class_X = scratch
    left_K, right_K = left_C[:n], right_C[:n]
    _enter_corners(top_SC, bottom_SC, j, class_K, n, corner_4C)
    for y in range(height):
        _blend_ends(corner_4C, weight_X[y], left_K, right_K)
        n_left = _candidates(left_K, right_K, left_K, right_K, margin, place_C)
        _best_of_row(
            *(left_K, right_K, place_C, n_left, class_K),
            *(weight_X, best_X, best_class_X),
        )
        for x in range(width):
            class_X[y * width + x] = best_class_X[x]


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _scratch(n_classes, side):
    """Memory for `_find_classes`."""
    return (
        np.empty((4, n_classes), np.float32),
        np.empty(n_classes, np.float32),
        np.empty(n_classes, np.float32),
        np.empty(n_classes + 1, np.int32),
        np.empty(side, np.float32),
        np.empty(side, np.int32),
    )


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _count(logits_EPC, label_X, n_rows, n_columns, side, predicted_EC, hit_EC):
    """Add up the counts of all edits; returns False if a logit is not finite."""
    n_edits, _, n_classes = logits_EPC.shape
    weight_X = _weights(side)
    low_SC = np.empty((n_columns, n_classes), np.float32)
    high_SC = np.empty((n_columns, n_classes), np.float32)
    class_K = np.empty(n_classes + 1, np.int32)
    scratch = _scratch(n_classes, side)
    class_X = np.empty(side * side, np.int32)
    for e in range(n_edits):
        largest = _largest(logits_EPC[e])
        if largest >= NOT_FINITE:
            return False
        margin = _margin(largest)
        predicted_C, hit_C = predicted_EC[e], hit_EC[e]
        start = 0
        for i in range(n_rows + 1):
            y_start, y_stop = _span(i, n_rows, side)
            top_SC, bottom_SC = _rows_of(logits_EPC[e], i, n_rows, n_columns)
            _range_of_pairs(top_SC, bottom_SC, low_SC, high_SC)
            for j in range(n_columns + 1):
                x_start, x_stop = _span(j, n_columns, side)
                stop = start + (y_stop - y_start) * (x_stop - x_start)
                if start == stop:
                    continue
                n = _candidates_of_cell(low_SC, high_SC, j, margin, class_K)
                if n == 1:
                    _count_alone(label_X[start:stop], class_K[0], predicted_C, hit_C)
                else:
                    _find_classes(
                        *(top_SC, bottom_SC, j, class_K, n, margin),
                        *(y_stop - y_start, x_stop - x_start, weight_X),
                        *(scratch, class_X),
                    )
                    _count_each(label_X[start:stop], class_X, predicted_C, hit_C)
                start = stop
    return True


@typing.no_type_check
@numba.njit(nogil=True, cache=True)
def _predict(logits_PC, n_rows, n_columns, side, label_HW):
    """Write the predicted labels; returns False if a logit is not finite."""
    n_classes = logits_PC.shape[1]
    weight_X = _weights(side)
    low_SC = np.empty((n_columns, n_classes), np.float32)
    high_SC = np.empty((n_columns, n_classes), np.float32)
    class_K = np.empty(n_classes + 1, np.int32)
    scratch = _scratch(n_classes, side)
    class_X = np.empty(side * side, np.int32)
    largest = _largest(logits_PC)
    if largest >= NOT_FINITE:
        return False
    margin = _margin(largest)
    for i in range(n_rows + 1):
        y_start, y_stop = _span(i, n_rows, side)
        top_SC, bottom_SC = _rows_of(logits_PC, i, n_rows, n_columns)
        _range_of_pairs(top_SC, bottom_SC, low_SC, high_SC)
        for j in range(n_columns + 1):
            x_start, x_stop = _span(j, n_columns, side)
            n = _candidates_of_cell(low_SC, high_SC, j, margin, class_K)
            _find_classes(
                *(top_SC, bottom_SC, j, class_K, n, margin),
                *(y_stop - y_start, x_stop - x_start, weight_X),
                *(scratch, class_X),
            )
            for y in range(y_start, y_stop):
                for x in range(x_start, x_stop):
                    place = (y - y_start) * (x_stop - x_start) + x - x_start
                    label_HW[y, x] = class_X[place] + 1
    return True
