"""Confidence intervals of effects, over classes, images and draws of controls.

C classes, M test images, N draws.

A mean over classes has variance from drawing the classes and from drawing the images,
which all classes share. As for regressions with two-way clusters (Cameron, Gelbach &
Miller 2011, Robust Inference with Multi-way Clustering),

    variance = by classes + by images - by both
             = s² / C + (Σ_m (Σ_c i_cm / C)² - Σ_cm (i_cm / C)²) · M / (M - 1)

with s² the variance of the classes' values and i_cm the influence of image m on the
value of class c. The values of classes differ by their own images and by their own
draws of controls too, so s² contains both; the rest is what classes have in common.
The interval is that of Student's t; there is none for fewer than `LEAST_CLASSES`. The
variance of s² is σ⁴ (2 / (C - 1) + κ / C), with κ the excess kurtosis of the classes'
values, and a χ² with 2 / (2 / (C - 1) + κ / C) degrees of freedom has the same. A few
classes do not show κ, so it is the constant `EXCESS_KURTOSIS`: with κ = 0 it would be
C - 1 degrees of freedom, and intervals of a dozen skewed effects would be too narrow.
docs/suppression_coverage.md shows how often both hold the truth.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Integer
from scipy.stats import t as student

from vitproto.core.confidence import EQUAL, LEVEL
from vitproto.segmentation.suppression.terms import (
    EXCESS_KURTOSIS,
    LEAST_CLASSES,
    LEAST_IMAGES,
)


class Interval(NamedTuple):
    """A number with its confidence interval; the ends are NaN if unknown."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided p-value of the hypothesis that the true number is 0."""
    n: int
    """Classes of a mean, images of a single class."""


NOTHING = Interval(np.nan, np.nan, np.nan, np.nan, 0)
"""Where there is no class."""


def mean_over_classes(
    value_C: Float64[np.ndarray, " c"], influence_CM: Float64[np.ndarray, "c m"]
) -> Interval:
    """Compute a mean over classes, with the interval of the module's head.

    Returns:
        Without ends and p-value for fewer than `LEAST_CLASSES`.
    """
    n_classes = len(value_C)
    if n_classes == 0:
        return NOTHING
    value = float(value_C.mean())
    if n_classes < LEAST_CLASSES:
        return Interval(value, np.nan, np.nan, np.nan, n_classes)
    by_classes = float(value_C.var(ddof=1)) / n_classes
    part_CM = influence_CM / n_classes
    shared = float((part_CM.sum(axis=0) ** 2).sum() - (part_CM**2).sum())
    variance = by_classes + max(shared * _correct(float(influence_CM.shape[1])), 0)
    return _interval(value, variance, freedom(n_classes), n_classes)


def freedom(n_classes: int) -> float:
    """Degrees of freedom of the spread of `n_classes` values, see the module's head."""
    return 2 / (2 / (n_classes - 1) + EXCESS_KURTOSIS / n_classes)


def of_one_class(
    value: float,
    influence_M: Float64[np.ndarray, " m"],
    n_images: int,
    n_effective: float,
    draw_N: Float64[np.ndarray, " n"] | None = None,
) -> Interval:
    """Compute the interval of one class, over the images and draws of a control.

    Degrees of freedom are those of Welch & Satterthwaite. A few images often have most
    pixels of a class, so they count as the number of equal ones that would be as good.

    Args:
        value: the number.
        influence_M: the influence of each image on it.
        n_images: images that show the class.
        n_effective: their effective number, see `effective_number`.
        draw_N: the value of each draw, if it is a mean over draws.

    Returns:
        Without ends if fewer than `LEAST_IMAGES` images show the class, or if there is
        a single draw.
    """
    if n_images < LEAST_IMAGES or (draw_N is not None and len(draw_N) < 2):
        return Interval(value, np.nan, np.nan, np.nan, n_images)
    few = max(n_effective, 2.0)
    by_images = float((influence_M**2).sum()) * _correct(few)
    parts = [(by_images, few - 1)]
    if draw_N is not None:
        parts.append((float(draw_N.var(ddof=1)) / len(draw_N), len(draw_N) - 1))
    variance = sum(part for part, _ in parts)
    squares = sum(part**2 / free for part, free in parts)
    free = variance**2 / squares if squares > 0 else few - 1
    return _interval(value, variance, free, n_images)


def effective_number(pixels_M: Integer[np.ndarray, " m"]) -> float:
    """(Σ pixels)² / Σ pixels², the effective number of images (Kish 1965).

    It is M if all have as many pixels of the class, and 1 if one has them all.
    """
    weight_M = pixels_M.astype(np.float64)
    return float(weight_M.sum() ** 2 / max((weight_M**2).sum(), 1.0))


def _correct(n: float) -> float:
    """n / (n - 1), as in the variance of a sample."""
    return n / (n - 1) if n > 1 else 1.0


def _interval(value: float, variance: float, free: float, n: int) -> Interval:
    error = float(np.sqrt(variance))
    half = float(student.ppf((1 + LEVEL / 100) / 2, free)) * error
    if error < EQUAL:
        return Interval(value, value, value, float(abs(value) < EQUAL), n)
    p = 2 * float(student.sf(abs(value) / error, free))
    return Interval(value, value - half, value + half, p, n)
