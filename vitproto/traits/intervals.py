"""Intervals of mAP and of differences of mAP, over test images, seeds and traits.

An estimate varies with the test images (drawn in groups, such as species), with the
seeds of fits and of selections, and, if one wants to speak about other traits, with the
traits (drawn by attribute). Each part has a variance and degrees of freedom; the
interval is a t interval of their sum (Welch-Satterthwaite). It is centred at the
estimate, not at the mean of the resamples, whose AP is too high: copies of an image
that shows a trait raise each other. `docs/trait_coverage.md` has its coverage.

Axes: R resamples of groups of test images, F fit seeds, S selection seeds, T traits.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtr, stdtrit

from vitproto.core.confidence import EQUAL, LEVEL


class Part(NamedTuple):
    """One part of an estimate's variance."""

    variance: float
    df: float
    """Degrees of freedom."""


class Interval(NamedTuple):
    """An estimate with a `LEVEL` % interval; NaN where there is none."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided p-value of the estimate being 0."""


class Resampled(NamedTuple):
    """AP of a row of the mAP table, on the test images and in their resamples.

    The same resamples for all rows, so that rows can be subtracted.
    """

    ap_FST: Float[np.ndarray, "f s t"]
    """On all test images, for each pair of seeds; traits that an image shows."""
    ap_RT: Float[np.ndarray, "r t"]
    """In each resample, mean over the pairs; NaN if no image shows the trait."""
    map_RFS: Float[np.ndarray, "r f s"]
    """In each resample, mean over the traits that an image shows; NaN if none does."""

    @property
    def value(self) -> float:
        """The mAP: mean over traits and pairs of seeds."""
        return float(self.ap_FST.mean())

    def less(
        self, chance_T: Float[np.ndarray, " t"], chance_RT: Float[np.ndarray, "r t"]
    ) -> "Resampled":
        """The same, as differences from chance on all test images and in resamples."""
        return self._replace(
            ap_FST=self.ap_FST - chance_T,
            ap_RT=self.ap_RT - chance_RT,
            map_RFS=self.map_RFS - mean_known(chance_RT)[:, None, None],
        )


def mean_known(ap_RT: Float[np.ndarray, "r t"]) -> Float[np.ndarray, " r"]:
    """The mean over the traits that an image shows; NaN where none is shown."""
    n_shown_R = np.count_nonzero(~np.isnan(ap_RT), axis=1)
    with np.errstate(invalid="ignore"):
        return np.nansum(ap_RT, axis=1) / n_shown_R


def image_part(value_R: Float[np.ndarray, " r"], n_groups: int) -> Part:
    """The part of other test images: the variance over the resamples of groups."""
    return Part(float(value_R.var(ddof=1)), n_groups - 1)


def seed_part(map_S: Float[np.ndarray, " s"], map_RS: Float[np.ndarray, "r s"]) -> Part:
    """The part of other seeds, beyond what the test images explain.

    Seeds also differ because each fit errs on other images. The part of images has
    that already, so it is taken off: it is the variance over resamples of what each
    seed differs from the mean of all.

    Args:
        map_S: mAP of each of two or more seeds, on all test images.
        map_RS: the same in each resample.
    """
    n_seeds = len(map_S)
    apart_RS = map_RS - map_RS.mean(axis=1, keepdims=True)
    by_images = apart_RS.var(axis=0, ddof=1).sum() / (n_seeds - 1)
    variance = max(map_S.var(ddof=1) - by_images, 0.0) / n_seeds
    return Part(float(variance), n_seeds - 1)


def trait_part(
    ap_T: Float[np.ndarray, " t"],
    ap_RT: Float[np.ndarray, "r t"],
    group_T: Int[np.ndarray, " t"],
) -> Part:
    """The part of other traits, drawn by attribute, beyond that of the test images.

    As in two-way clustering (Cameron, Gelbach and Miller 2011): the variance between
    attributes, less what test images contribute to it within each attribute.

    Args:
        ap_T: the AP of each trait, or a difference of APs.
        ap_RT: the same in each resample; NaN if no image shows the trait.
        group_T: the attribute of each trait, from 0.
    """
    n_traits, n_groups = len(ap_T), int(group_T.max()) + 1
    if n_groups == 1:
        return Part(np.inf, 1)
    is_group_GT = np.arange(n_groups)[:, None] == group_T
    apart_T = ap_T - ap_T.mean()
    share_G = np.array([apart_T[own].sum() for own in is_group_GT]) / n_traits
    between = n_groups / (n_groups - 1) * float((share_G**2).sum())
    n_shown_R = (~np.isnan(ap_RT)).sum(axis=1)
    by_images = 0.0
    for own in is_group_GT:
        share_R = np.nansum(ap_RT[:, own], axis=1) / n_shown_R
        by_images += float(share_R.var(ddof=1))
    return Part(max(between - by_images, 0.0), n_groups - 1)


def t_interval(value: float, parts: Sequence[Part]) -> Interval:
    """The t interval of an estimate whose variance is the sum of these parts.

    Degrees of freedom are those of Welch and Satterthwaite.
    """
    variance = sum(part.variance for part in parts)
    if not np.isfinite(variance):
        return Interval(value, np.nan, np.nan, np.nan)
    if variance < EQUAL**2:
        return Interval(value, value, value, float(abs(value) < EQUAL))
    df = variance**2 / sum(part.variance**2 / part.df for part in parts)
    error = np.sqrt(variance)
    reach = float(stdtrit(df, 0.5 + LEVEL / 200) * error)
    p = float(2 * stdtr(df, -abs(value) / error))
    return Interval(value, value - reach, value + reach, p)


class Spread(NamedTuple):
    """The parts of the variance of a row's mAP."""

    images: Part
    fits: Part | None
    """None if there is one fit."""
    selections: Part | None
    """None if there is one selection."""

    def with_fits(self, fit_variance: float) -> list[Part]:
        """All parts, if fits vary by at least so much (`mean_fit_variance`)."""
        parts = self.images, _at_least(self.fits, fit_variance), self.selections
        return [part for part in parts if part is not None]


def map_spread(row: Resampled, n_groups: int) -> Spread:
    """The parts of test images and of seeds in the variance of a row's mAP.

    Args:
        row: the row.
        n_groups: the groups of test images, such as species.
    """
    map_FS, fits = row.ap_FST.mean(axis=2), None
    if len(map_FS) > 1:
        fits = seed_part(map_FS.mean(axis=1), row.map_RFS.mean(axis=2))
    images = image_part(mean_known(row.ap_RT), n_groups)
    return Spread(images, fits, _selection_part([row]))


def mean_fit_variance(spreads: Iterable[Spread]) -> float:
    """The variance between single fits, mean over methods that have several.

    The variance between three fits is often far too small by chance, and among many
    intervals those mislead for which it is. So that of a method counts with at least
    this mean over the methods that are compared.
    """
    several = [spread.fits for spread in spreads if spread.fits is not None]
    variances = [fits.variance * (fits.df + 1) for fits in several]
    return float(np.mean(variances)) if variances else 0.0


def difference_parts(
    a: Resampled, b: Resampled, n_groups: int, fit_variance: float
) -> list[Part]:
    """The parts of test images and of seeds in the difference of two rows.

    Both use the same test images and, where both have them, the same selection seeds.
    Their fits count as independent. If they are not, as those of `kmeans` and
    `kmeansdistance`, which share centres, the interval is rather too wide.

    Args:
        a, b: the rows.
        n_groups: the groups of test images, such as species.
        fit_variance: the `mean_fit_variance` of all methods that are compared.
    """
    value_R = np.nanmean(a.ap_RT - b.ap_RT, axis=1)
    fits = [map_spread(row, n_groups).fits for row in (a, b)]
    parts = (
        image_part(value_R, n_groups),
        *(_at_least(part, fit_variance) for part in fits),
        _selection_part([a, b]),
    )
    return [part for part in parts if part is not None]


def _at_least(fits: Part | None, fit_variance: float) -> Part | None:
    """The part of fits, if single fits vary by at least so much."""
    if fits is None:
        return None
    return fits._replace(variance=max(fits.variance, fit_variance / (fits.df + 1)))


def _selection_part(rows: Sequence[Resampled]) -> Part | None:
    """The part of selection seeds in a row's mAP, or in the difference of two."""
    map_S, map_RS = 0.0, 0.0
    for sign, row in zip((1, -1), rows, strict=False):
        map_S = map_S + sign * row.ap_FST.mean(axis=(0, 2))
        map_RS = map_RS + sign * row.map_RFS.mean(axis=1)
    return seed_part(map_S, map_RS) if len(map_S) > 1 else None


POOLED = 4
"""Effective number of independent traits in the mean variance between seeds. It is
small, since a seed moves many traits together; `docs/trait_coverage.md` tests it."""


class TraitSpread(NamedTuple):
    """An AP, or a difference of APs, of each trait, with variance and t test."""

    value_T: Float[np.ndarray, " t"]
    variance_T: Float[np.ndarray, " t"]
    df_T: Float[np.ndarray, " t"]

    @property
    def p_T(self) -> Float[np.ndarray, " t"]:
        """Two-sided p-values of each value being 0; 1 where it is 0 without spread."""
        value_T = np.where(np.abs(self.value_T) < EQUAL, 0, np.abs(self.value_T))
        variance_T = np.where(self.variance_T < EQUAL**2, 0, self.variance_T)
        with np.errstate(divide="ignore", invalid="ignore"):
            t_T = value_T / np.sqrt(variance_T)
        return 2 * stdtr(self.df_T, -np.nan_to_num(t_T, nan=0.0, posinf=np.inf))


def trait_spread(
    a: Resampled, b: Resampled | None, n_shown_groups_T: Int[np.ndarray, " t"]
) -> TraitSpread:
    """The AP of each trait in a row, or its difference between two rows.

    The spread over test images has as many degrees of freedom as groups that show the
    trait, less one. That between seeds counts in full, which errs on the wide side, and
    with at least its mean over traits: among many traits, those whose seeds happen to
    agree would seem certain. As it rests on many traits, it has more degrees of freedom
    than the seeds of one.
    """
    rows = [a] if b is None else [a, b]
    value_T = a.ap_FST.mean(axis=(0, 1))
    ap_RT, ap_ST = a.ap_RT, a.ap_FST.mean(axis=0)
    if b is not None:
        value_T = value_T - b.ap_FST.mean(axis=(0, 1))
        ap_RT, ap_ST = ap_RT - b.ap_RT, ap_ST - b.ap_FST.mean(axis=0)
    variances = [np.nanvar(ap_RT, axis=0, ddof=1)]
    dfs = [np.maximum(n_shown_groups_T - 1, 1)]
    by_seeds = [row.ap_FST.mean(axis=1) for row in rows] + [ap_ST]
    for ap_XT in by_seeds:
        if len(ap_XT) > 1:
            by_seed_T = ap_XT.var(axis=0, ddof=1) / len(ap_XT)
            variances.append(np.maximum(by_seed_T, by_seed_T.mean()))
            n_pooled = min(POOLED, len(value_T))
            dfs.append(np.full(len(value_T), n_pooled * (len(ap_XT) - 1)))
    variance_T = np.sum(variances, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = [v**2 / df for v, df in zip(variances, dfs, strict=True)]
        df_T = variance_T**2 / np.sum(weights, axis=0)
    return TraitSpread(value_T, variance_T, np.where(variance_T > 0, df_T, 1.0))
