"""Sort images by score, best first: the first step of every AP."""

import typing

import numba
import numpy as np

IMAGES_PER_TILE = 32
"""Images to copy before the next prototype: two cache lines of the copy."""

DIGIT_BITS = 11
"""Maximum width of a digit of the radix sort: 2048 counters fit into the L1 cache."""


@typing.no_type_check
@numba.njit(cache=True)
def copy_keys(bits_NK, first, keys_KN, nan_K):
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
