"""Compiled loops of training that NumPy and torch cannot do in one pass.

Every kernel works on the rows or latents that it is given, on one core, without
Python's lock. Callers share the work among cores, always in the same parts, so results
do not depend on the number of cores.

B rows of a batch, D width, S latents, T latents of a tile, M prefixes, E entries: the
active latents of all rows, row by row, latents ascending.
"""

import typing

import numba
import numpy as np

# Sums may be reordered for vector instructions: the order depends on the machine, not
# on threads. Infinities and NaN are kept, so that a loss shows them.
_FAST = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract", "nsz"}}


@typing.no_type_check
@numba.njit(**_FAST)
def rectify(pre_BT, largest_T, n_B):
    """ReLU in place; returns the sum of the latents, in float64.

    Updates the largest value of each latent in `largest_T`, and writes the number of
    active latents of each row to `n_B`.
    """
    total = 0.0
    for b in range(len(pre_BT)):
        row_T = pre_BT[b]
        n_in_row, sum_of_row = 0, np.float32(0)
        for t in range(len(row_T)):
            value = row_T[t] if row_T[t] > 0 else np.float32(0)
            row_T[t] = value
            n_in_row += value > 0
            sum_of_row += value
            if value > largest_T[t]:
                largest_T[t] = value
        n_B[b] = n_in_row
        total += sum_of_row
    return total


@typing.no_type_check
@numba.njit(**_FAST)
def backpropagate_relu(gradient_BT, latents_BT, l1_gradient, sum_T):
    """Turn the gradient by latents into that by pre-activations, in place.

    Adds the L1 norm's part, and adds the sums over the batch to `sum_T`.
    """
    for b in range(len(gradient_BT)):
        for t in range(gradient_BT.shape[1]):
            active = latents_BT[b, t] > 0
            value = gradient_BT[b, t] + l1_gradient if active else np.float32(0)
            gradient_BT[b, t] = value
            sum_T[t] += value


@typing.no_type_check
@numba.njit(**_FAST)
def error(reconstruction_BD, target_BD, gradient_BD, scale):
    """Write scale · (reconstruction - target); returns the sum of squared errors."""
    total = 0.0
    for b in range(len(target_BD)):
        sum_of_row = np.float32(0)
        for d in range(target_BD.shape[1]):
            difference = reconstruction_BD[b, d] - target_BD[b, d]
            gradient_BD[b, d] = scale * difference
            sum_of_row += difference * difference
        total += sum_of_row
    return total


@typing.no_type_check
@numba.njit(**_FAST)
def select_largest(pre_BS, k, latent_E, value_E, n_B):
    """The `k` largest positive values of each row; of equals the first.

    Entries of row b start at k × b of `latent_E` and `value_E`; `n_B` counts them. Of a
    row with NaN one entry is left, which is NaN, so that the loss is NaN too.
    """
    n_latents = pre_BS.shape[1]
    heap = np.empty(k, np.float32)
    for b in range(len(pre_BS)):
        row_S = pre_BS[b]
        heap[:] = 0
        for first in range(0, n_latents, 16):
            end = min(first + 16, n_latents)
            top = row_S[first]
            for s in range(first + 1, end):
                top = max(top, row_S[s])
            if top <= heap[0]:
                continue
            for s in range(first, end):
                if row_S[s] > heap[0]:
                    _replace_root(heap, row_S[s])
        # The heap's root is the k-th largest value; ties with it fill the places left.
        bound = heap[0]
        n_ties = 0
        for value in heap:
            n_ties += value == bound
        if bound == 0:
            n_ties = 0
        n = 0
        for s in range(n_latents):
            value = row_S[s]
            if value < bound or value <= 0:
                continue
            if np.isnan(value):
                latent_E[k * b] = s
                value_E[k * b] = value
                n = 1
                break
            if value == bound:
                if n_ties == 0:
                    continue
                n_ties -= 1
            latent_E[k * b + n] = s
            value_E[k * b + n] = value
            n += 1
        n_B[b] = n


@typing.no_type_check
@numba.njit(**_FAST)
def _replace_root(heap, value):
    """Replace the smallest value of a heap, and restore the heap's order."""
    i, n = 0, len(heap)
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if value <= heap[child]:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = value


@typing.no_type_check
@numba.njit(**_FAST)
def histogram(bits_BS, shift, prefix, counts):
    """Count positive values by their upper 16 bits, or by their lower ones.

    With `shift` 16 all values are counted, with 0 those whose upper bits are `prefix`.
    Positive floats are ordered as their bits are.
    """
    for row_S in bits_BS:
        for bits in row_S:
            if bits > 0 and (shift == 16 or bits >> 16 == prefix):
                counts[(bits >> shift) & 0xFFFF] += 1


@typing.no_type_check
@numba.njit(**_FAST)
def count_above(pre_BS, bound, n_above_B, n_tied_B):
    """Count the values of each row that exceed a bound, and those that equal it.

    NaN counts as above, so that it is listed and the loss is NaN too.
    """
    for b in range(len(pre_BS)):
        n_above, n_tied = 0, 0
        for value in pre_BS[b]:
            n_above += not value <= bound
            n_tied += value == bound
        n_above_B[b] = n_above
        n_tied_B[b] = n_tied


@typing.no_type_check
@numba.njit(**_FAST)
def take_above(pre_BS, bound, n_ties_B, start_B, latent_E, value_E):
    """List each row's values above a bound, and its first `n_ties_B` equal to it.

    Lists exactly as many as `count_above` has counted, also of NaN.
    """
    for b in range(len(pre_BS)):
        i, n_ties = start_B[b], n_ties_B[b]
        for s in range(pre_BS.shape[1]):
            value = pre_BS[b, s]
            if value < bound:
                continue
            if value == bound:
                if n_ties <= 0:
                    continue
                n_ties -= 1
            latent_E[i] = s
            value_E[i] = value
            i += 1


@typing.no_type_check
@numba.njit(**_FAST)
def take_positive(latents_BT, first_latent, next_B, latent_E, value_E):
    """List the active latents of a tile; `next_B` holds each row's next free entry."""
    for b in range(len(latents_BT)):
        i = next_B[b]
        for t in range(latents_BT.shape[1]):
            value = latents_BT[b, t]
            if value > 0:
                latent_E[i] = first_latent + t
                value_E[i] = value
                i += 1
        next_B[b] = i


@typing.no_type_check
@numba.njit(**_FAST)
def decode(
    first,
    last,
    start_B,
    end_B,
    latent_E,
    value_E,
    W_dec_SD,
    bias_D,
    target_BD,
    ends_M,
    scale,
    g_MBD,
):
    """Decode rows `first` to `last` - 1, and write g of gradients.py's formulas.

    `g_MBD[m]` becomes the gradient of the loss by what the latents of group m, between
    prefixes m - 1 and m, add to the reconstruction.

    Returns:
        The sum of squared errors of each prefix.
    """
    n_prefixes, width = len(ends_M), len(bias_D)
    total_M = np.zeros(n_prefixes)
    sum_D = np.empty(width, np.float32)
    for b in range(first, last):
        sum_D[:] = bias_D
        i = start_B[b]
        for m in range(n_prefixes):
            while i < end_B[b] and latent_E[i] < ends_M[m]:
                value, row_D = value_E[i], W_dec_SD[latent_E[i]]
                for d in range(width):
                    sum_D[d] += value * row_D[d]
                i += 1
            sum_of_row = np.float32(0)
            for d in range(width):
                difference = sum_D[d] - target_BD[b, d]
                g_MBD[m, b, d] = scale * difference
                sum_of_row += difference * difference
            total_M[m] += sum_of_row
        for m in range(n_prefixes - 2, -1, -1):
            for d in range(width):
                g_MBD[m, b, d] += g_MBD[m + 1, b, d]
    return total_M


@typing.no_type_check
@numba.njit(**_FAST)
def latent_gradients(
    first,
    last,
    start_B,
    end_B,
    latent_E,
    W_dec_SD,
    ends_M,
    g_MBD,
    l1_gradient,
    gradient_E,
):
    """The gradient of the loss by each entry's value, in rows `first` to `last` - 1."""
    for b in range(first, last):
        m = 0
        for i in range(start_B[b], end_B[b]):
            while latent_E[i] >= ends_M[m]:
                m += 1
            row_D, g_D = W_dec_SD[latent_E[i]], g_MBD[m, b]
            product = np.float32(0)
            for d in range(len(row_D)):
                product += row_D[d] * g_D[d]
            gradient_E[i] = product + l1_gradient


@typing.no_type_check
@numba.njit(**_FAST)
def weight_gradients(
    first,
    last,
    start_S,
    order_E,
    row_E,
    value_E,
    gradient_E,
    ends_M,
    g_MBD,
    centred_BD,
    W_enc_SD,
    b_enc_S,
    W_dec_SD,
):
    """Write the gradients of the weights of latents `first` to `last` - 1.

    `order_E[start_S[s]:start_S[s + 1]]` are the entries of latent s.
    """
    m = 0
    for s in range(first, last):
        while s >= ends_M[m]:
            m += 1
        enc_D, dec_D = W_enc_SD[s], W_dec_SD[s]
        enc_D[:] = 0
        dec_D[:] = 0
        total = np.float32(0)
        for j in range(start_S[s], start_S[s + 1]):
            i = order_E[j]
            value, gradient, b = value_E[i], gradient_E[i], row_E[i]
            g_D, centred_D = g_MBD[m, b], centred_BD[b]
            for d in range(len(g_D)):
                dec_D[d] += value * g_D[d]
                enc_D[d] += gradient * centred_D[d]
            total += gradient
        b_enc_S[s] = total


@typing.no_type_check
@numba.njit(**_FAST)
def by_latent(latent_E, row_E, start_B, end_B, start_S, order_E):
    """Sort entries by latent, with a counting sort; rows stay in order."""
    start_S[:] = 0
    for b in range(len(start_B)):
        for i in range(start_B[b], end_B[b]):
            start_S[latent_E[i] + 1] += 1
    for s in range(1, len(start_S)):
        start_S[s] += start_S[s - 1]
    place_S = start_S[:-1].copy()
    for b in range(len(start_B)):
        for i in range(start_B[b], end_B[b]):
            s = latent_E[i]
            row_E[i] = b
            order_E[place_S[s]] = i
            place_S[s] += 1


@typing.no_type_check
@numba.njit(**_FAST)
def remove_parallel(gradient_TD, unit_TD):
    """Remove from each row of a gradient the part along a row of length 1."""
    for t in range(len(unit_TD)):
        along = np.float32(0)
        for d in range(unit_TD.shape[1]):
            along += gradient_TD[t, d] * unit_TD[t, d]
        for d in range(unit_TD.shape[1]):
            gradient_TD[t, d] -= along * unit_TD[t, d]


@typing.no_type_check
@numba.njit(**_FAST)
def sum_of_squares(values_TD):
    """The sum of squares: within rows in float32, over rows in float64."""
    total = 0.0
    for row_D in values_TD:
        sum_of_row = np.float32(0)
        for value in row_D:
            sum_of_row += value * value
        total += sum_of_row
    return total


@typing.no_type_check
@numba.njit(**_FAST)
def adam(
    weight_TD, gradient_TD, mean_TD, square_TD, shrink, rate, b1, b2, root_bias2, eps
):
    """One step of Adam (Kingma & Ba 2015), for the gradient times `shrink`.

    `rate` is the learning rate divided by the bias correction of the mean,
    `root_bias2` the square root of the bias correction of the squares.
    """
    for t in range(len(weight_TD)):
        for d in range(weight_TD.shape[1]):
            gradient = shrink * gradient_TD[t, d]
            mean = mean_TD[t, d] + (np.float32(1) - b1) * (gradient - mean_TD[t, d])
            square = b2 * square_TD[t, d] + (np.float32(1) - b2) * gradient * gradient
            mean_TD[t, d] = mean
            square_TD[t, d] = square
            weight_TD[t, d] -= rate * mean / (np.sqrt(square) / root_bias2 + eps)


@typing.no_type_check
@numba.njit(**_FAST)
def normalise(weight_TD):
    """Scale each row to length 1."""
    for t in range(len(weight_TD)):
        total = np.float32(0)
        for d in range(weight_TD.shape[1]):
            total += weight_TD[t, d] * weight_TD[t, d]
        scale = np.float32(1) / np.sqrt(total)
        for d in range(weight_TD.shape[1]):
            weight_TD[t, d] *= scale
