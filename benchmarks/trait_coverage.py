"""Simulate how often intervals of mAP hold the truth; write docs/trait_coverage.md.

Each simulated study draws groups of test images (species), traits that groups share,
and two methods with several fit and selection seeds, then makes the intervals that the
tables print. The truth is the mean over all simulated studies. `make bench` leaves this
out, since it times nothing. It takes about a quarter of an hour on 2 cores:

    python benchmarks/trait_coverage.py
"""

import argparse
import datetime
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from vitproto.core.confidence import (
    LEVEL,
    MIN_GROUPS,
    MIN_SHOWN_GROUPS,
    SIGNIFICANT,
    holm,
)
from vitproto.core.files import write_text
from vitproto.core.progress import progress_bar
from vitproto.report.shared.markdown import TextTable, write_markdown
from vitproto.study.run import Run
from vitproto.traits.intervals import (
    Resampled,
    difference_parts,
    map_spread,
    mean_fit_variance,
    t_interval,
    trait_part,
    trait_spread,
)
from vitproto.traits.permuted_labels import Turns, permuted_maps
from vitproto.traits.resampled_ap import draw_counts, resample_ap
from vitproto.traits.selection import select_prototypes
from vitproto.traits.trait_split import TraitSplit

OUT = Path(__file__).resolve().parents[1] / "docs" / "trait_coverage.md"
N_RESAMPLES = 200
"""Fewer than the tables use, to save time."""

Ends = tuple[float, float]


@dataclass(frozen=True)
class Study:
    """What is simulated. Scores are normal; a trait shifts them by its strength."""

    name: str
    n_groups: int = 50
    n_images_per_group: int = 8
    n_traits: int = 12
    n_attributes: int = 6
    n_methods: int = 2
    n_fits: int = 3
    n_selections: int = 1
    """A single one is that of all training images, which nothing draws."""
    share: float = 0.15
    """Share of groups that have a trait, on average."""
    fit_sd: float | tuple[float, ...] = 0.2
    """Spread of strengths between fits; or that of each method."""
    selection_sd: float = 0.2
    """The same between selections."""
    lead: float = 0.2
    """How much more traits shift the scores of the first method."""
    new_traits: bool = False
    """Whether each simulated study draws other traits."""


STUDIES = [
    Study("50 species"),
    Study(f"{MIN_GROUPS} species", n_groups=MIN_GROUPS, share=0.4),
    Study("20 species", n_groups=20, share=0.25),
    Study("200 species", n_groups=200, n_images_per_group=4),
    Study("traits that about 2 of 50 species have", share=0.04),
    Study("3 selection seeds", n_selections=3),
    Study("fit seeds matter most", fit_sd=1.0),
    Study("fit seeds do not matter", fit_sd=0.0),
    Study("a single fit seed, which does not matter", n_fits=1, fit_sd=0.0),
    Study("a single fit seed, although seeds matter", n_fits=1, fit_sd=1.0),
    Study("equal methods", lead=0.0),
    Study("other traits", n_traits=30, n_attributes=15, new_traits=True),
]

FAMILIES = [
    Study("3 fit seeds", n_methods=5, lead=0.0),
    Study("3 fit seeds, which matter most", n_methods=5, lead=0.0, fit_sd=1.0),
    Study(
        "3 fit seeds, which matter for one method",
        n_methods=5,
        lead=0.0,
        fit_sd=(1.0, 0.2, 0.2, 0.2, 0.2),
    ),
    Study("1 fit seed, no matter which", n_methods=5, lead=0.0, n_fits=1, fit_sd=0.0),
    Study("1 fit seed, which matters", n_methods=5, lead=0.0, n_fits=1, fit_sd=1.0),
]


class Traits(NamedTuple):
    """The traits of a simulated study."""

    strength_T: np.ndarray
    """By how many standard deviations of their noise each shifts scores."""
    share_T: np.ndarray
    """Share of groups that have each."""


class Drawn(NamedTuple):
    """What a simulated study measures."""

    methods: list[Resampled]
    shown_T: np.ndarray
    """The traits that a test image shows."""
    n_shown_groups_T: np.ndarray
    """The groups that show each of these."""
    map_GM: np.ndarray
    """The mAP of each method without each group, for BCa intervals."""


def draw_traits(study: Study, rng: np.random.Generator) -> Traits:
    """Draw traits; those of an attribute are alike."""
    strength_T = rng.gamma(2, 0.6, study.n_traits)
    of_attribute = rng.gamma(4, 0.25, study.n_attributes)
    strength_T *= of_attribute[np.arange(study.n_traits) % study.n_attributes]
    share_T = study.share * rng.gamma(2, 0.5, study.n_traits)
    return Traits(strength_T, share_T.clip(0.02, 0.8))


def simulate(study: Study, traits: Traits, rng: np.random.Generator) -> Drawn:
    """Draw test images and seeds, and measure all methods."""
    n_images_G = rng.poisson(study.n_images_per_group, study.n_groups).clip(1)
    group_N = np.repeat(np.arange(study.n_groups), n_images_G)
    has_NT = (rng.random((study.n_groups, study.n_traits)) < traits.share_T)[group_N]
    shows_NT = has_NT & (rng.random(has_NT.shape) < 0.85)
    shown_T = np.flatnonzero(shows_NT.any(axis=0))

    shape = (study.n_methods, study.n_fits, study.n_selections, len(shown_T))
    fit_sd = np.reshape(study.fit_sd, (-1, 1, 1, 1))
    of_fits = rng.normal(size=(*shape[:2], 1, 1))
    of_fits = of_fits + rng.normal(size=(*shape[:2], 1, shape[3]))
    strength = traits.strength_T[shown_T] + fit_sd * of_fits
    if study.n_selections > 1:
        of_selections = rng.normal(size=(1, 1, shape[2], 1)) + rng.normal(size=shape)
        strength = strength + study.selection_sd * of_selections
    strength[0] += study.lead
    strength_M = strength.reshape(-1)

    def noise(n_columns: int) -> np.ndarray:
        of_groups = rng.normal(size=(study.n_groups, n_columns))[group_N]
        return 0.5 * of_groups + 0.6 * rng.normal(size=(len(group_N), n_columns))

    n_repeats = len(strength_M) // len(shown_T)
    shows_NM = np.tile(shows_NT[:, shown_T], n_repeats)
    shared_NM = np.tile(noise(len(shown_T)), n_repeats)
    scores_NM = strength_M * shows_NM + shared_NM + noise(len(strength_M))

    each_once = np.ones((1, study.n_groups), np.int64)
    without_one = 1 - np.eye(study.n_groups, dtype=np.int64)
    resamples = draw_counts(study.n_groups, N_RESAMPLES, rng)
    counts_RG = np.concatenate([each_once, without_one, resamples])
    ap = resample_ap(scores_NM.astype(np.float32), shows_NM, group_N, counts_RG)
    ap = ap.reshape(-1, *shape)
    drawn = ap[1 + study.n_groups :]
    methods = [
        Resampled(ap[0, m], drawn[:, m].mean(axis=(1, 2)), np.nanmean(drawn[:, m], 3))
        for m in range(study.n_methods)
    ]
    map_GM = np.nanmean(ap[1 : 1 + study.n_groups], axis=(2, 3, 4))
    shows_GT = np.zeros((study.n_groups, len(shown_T)), bool)
    np.logical_or.at(shows_GT, group_N, shows_NT[:, shown_T])
    return Drawn(methods, shown_T, shows_GT.sum(axis=0), map_GM)


def intervals_of(
    study: Study, drawn: Drawn, rng: np.random.Generator
) -> dict[str, tuple[float, dict[str, Ends]]]:
    """The first method's mAP and the difference of both, each with all intervals."""
    a, b = drawn.methods
    spreads = [map_spread(row, study.n_groups) for row in drawn.methods]
    typical = mean_fit_variance(spreads)
    attribute_T = np.unique(drawn.shown_T % study.n_attributes, return_inverse=True)[1]
    a_R, b_R = (_draw_seeds(row.map_RFS, rng) for row in drawn.methods)
    a_T, b_T = (row.ap_FST.mean(axis=(0, 1)) for row in drawn.methods)
    cases = {
        "mAP": (
            *(a.value, spreads[0].with_fits(typical)),
            *(trait_part(a_T, a.ap_RT, attribute_T), a_R, drawn.map_GM[:, 0]),
        ),
        "difference": (
            *(a.value - b.value, difference_parts(a, b, study.n_groups, typical)),
            *(trait_part(a_T - b_T, a.ap_RT - b.ap_RT, attribute_T), a_R - b_R),
            drawn.map_GM[:, 0] - drawn.map_GM[:, 1],
        ),
    }
    return {
        what: (
            value,
            {
                "t": t_interval(value, parts)[1:3],
                "t, traits too": t_interval(value, [*parts, traits])[1:3],
                **bootstrap_intervals(value, value_R, value_G),
            },
        )
        for what, (value, parts, traits, value_R, value_G) in cases.items()
    }


def _draw_seeds(map_RFS: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mAP of each resample with seeds drawn anew, as a plain bootstrap does."""
    n_resamples, n_fits, n_selections = map_RFS.shape
    fits = draw_counts(n_fits, n_resamples, rng)[:, :, None]
    weights = fits * draw_counts(n_selections, n_resamples, rng)[:, None, :]
    return (map_RFS * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))


def bootstrap_intervals(
    value: float, value_R: np.ndarray, value_G: np.ndarray
) -> dict[str, Ends]:
    """The usual bootstrap intervals (Efron and Tibshirani 1993, chapters 13 and 14).

    Args:
        value: the estimate.
        value_R: in resamples of test images and of seeds.
        value_G: without each group of test images.
    """
    beyond = (1 - LEVEL / 100) / 2
    low, high = np.quantile(value_R, [beyond, 1 - beyond])
    apart_G = value_G.mean() - value_G
    acceleration = (apart_G**3).sum() / (6 * (apart_G**2).sum() ** 1.5)
    share = (value_R < value).mean().clip(1 / len(value_R), 1 - 1 / len(value_R))
    reach = ndtri(share) + ndtri(np.array([beyond, 1 - beyond]))
    bca = np.quantile(value_R, ndtr(ndtri(share) + reach / (1 - acceleration * reach)))
    return {
        "percentile": (low, high),
        "basic": (2 * value - high, 2 * value - low),
        "BCa": (bca[0], bca[1]),
    }


def covers(ends: Iterable[Ends], truth: float) -> float:
    """The share of intervals that hold the truth."""
    return float(np.mean([low <= truth <= high for low, high in ends]))


def measure_study(study: Study, n: int) -> list[list[str]]:
    """Simulate n studies: a row for the mAP and one for the difference."""
    rng = np.random.default_rng(0)
    traits = draw_traits(study, rng)
    found = []
    bar = progress_bar(n, "studies")
    for _ in range(n):
        if study.new_traits:
            traits = draw_traits(study, rng)
        found.append(intervals_of(study, simulate(study, traits, rng), rng))
        bar.update()
    bar.close()
    rows = []
    for what in ("mAP", "difference"):
        values = np.array([one[what][0] for one in found])
        # The mean difference of equal methods is known.
        known = what == "difference" and study.lead == 0
        truth = 0.0 if known else values.mean()
        shares = [
            covers((one[what][1][kind] for one in found), truth)
            for kind in found[0][what][1]
        ]
        rows.append([study.name, what, *(f"{100 * share:.1f}" for share in shares)])
    return rows


def measure_errors(study: Study, n: int) -> list[str]:
    """How often equal methods, and their traits, are told apart after correction."""
    rng = np.random.default_rng(3)
    traits = draw_traits(study, rng)
    n_winner, n_trait = 0, 0
    for _ in range(n):
        drawn = simulate(study, traits, rng)
        typical = mean_fit_variance(
            map_spread(row, study.n_groups) for row in drawn.methods
        )
        pairs = [
            t_interval(
                a.value - b.value, difference_parts(a, b, study.n_groups, typical)
            ).p
            for a, b in itertools.combinations(drawn.methods, 2)
        ]
        n_winner += (holm(np.array(pairs)) < SIGNIFICANT).any()
        p_T = trait_spread(*drawn.methods[:2], drawn.n_shown_groups_T).p_T
        p_T[drawn.n_shown_groups_T < MIN_SHOWN_GROUPS] = np.nan
        n_trait += (holm(p_T) < SIGNIFICANT).any()
    return [study.name, f"{100 * n_winner / n:.1f}", f"{100 * n_trait / n:.1f}"]


def measure_single(n: int) -> list[list[str]]:
    """Coverage of a single trait's interval, by the groups that show it."""
    rng = np.random.default_rng(1)
    rows = []
    for n_shown in (3, 5, 8, 12, 20, 40):
        row = [str(n_shown)]
        for strength in (0.5, 1.5, 3.0):
            study = Study("", 100, n_traits=1, n_attributes=1, n_fits=1, fit_sd=0)
            traits = Traits(np.array([strength]), np.array([n_shown / 100]))
            ends, values = [], []
            while len(values) < n:
                a = _single(study, traits, rng)
                if a is not None:
                    spread, is_few = a
                    values.append(spread.value_T[0])
                    reach = stdtrit(spread.df_T, 0.5 + LEVEL / 200)
                    reach = float((reach * np.sqrt(spread.variance_T))[0])
                    if not is_few:
                        ends.append((values[-1] - reach, values[-1] + reach))
            row.append(f"{100 * covers(ends, float(np.mean(values))):.1f}")
            row.append(f"{100 * len(ends) / n:.0f}")
        rows.append(row)
    return rows


def _single(study: Study, traits: Traits, rng: np.random.Generator):
    n_images_G = rng.poisson(study.n_images_per_group, study.n_groups).clip(1)
    group_N = np.repeat(np.arange(study.n_groups), n_images_G)
    has_G = rng.random(study.n_groups) < traits.share_T[0]
    shows_N = has_G[group_N] & (rng.random(len(group_N)) < 0.85)
    n_shown = len(np.unique(group_N[shows_N]))
    if n_shown == 0:
        return None
    scores_N = traits.strength_T[0] * shows_N + 0.85 * rng.normal(size=len(group_N))
    scores_N += 0.5 * rng.normal(size=study.n_groups)[group_N]
    drawn_RG = draw_counts(study.n_groups, N_RESAMPLES, rng)
    ap_R = resample_ap(
        scores_N[:, None].astype(np.float32),
        shows_N[:, None],
        group_N,
        np.concatenate([np.ones_like(drawn_RG[:1]), drawn_RG]),
    )[:, 0]
    row = Resampled(ap_R[None, None, :1], ap_R[1:, None], ap_R[1:, None, None])
    return trait_spread(row, None, np.array([n_shown])), n_shown < MIN_SHOWN_GROUPS


def measure_null(n: int, n_permutations: int = 100) -> float:
    """The share of studies in which scores without meaning come out above chance."""
    rng = np.random.default_rng(2)
    n_above = 0
    for _ in range(n):
        labels_NT = rng.random((160, 10)) < 0.2
        known_NT, is_train_N = np.ones_like(labels_NT), np.arange(160) % 2 == 0
        ids, names = list(map(str, range(160))), list(map(str, range(10)))
        images = TraitSplit(ids, names, labels_NT, known_NT, is_train_N)
        scores_NK = rng.normal(size=(160, 8)).astype(np.float32)
        (chosen,) = select_prototypes(
            scores_NK, labels_NT, known_NT, is_train_N, ["all"], [0]
        )
        permuted = permuted_maps(
            *(scores_NK, images, ["all"], [0]),
            Turns(Run(8, 0), range(n_permutations), 1),
        )
        null_high = np.quantile([one.map for one in permuted], LEVEL / 100)
        n_above += np.nanmean(chosen.test_ap_T) > null_high
    return n_above / n


def write_coverage(n: int) -> str:
    """Run all simulations, and write the page."""
    kinds = ["t", "t, traits too", "percentile", "basic", "BCa"]
    rows = [row for study in STUDIES for row in measure_study(study, n)]
    table = TextTable({"Simulated": "<", "Of": "<"} | dict.fromkeys(kinds, ">"), rows)
    heads = {"Species that show it": ">"}
    for strength in ("weak", "medium", "strong"):
        heads |= {strength: ">", f"{strength}: % shown": ">"}
    null = measure_null(max(n // 4, 1))
    return write_markdown(
        "# How often intervals of mAP hold the truth",
        f"Written by `python benchmarks/trait_coverage.py --n {n}` on "
        f"{datetime.date.today().isoformat()}: {n:,} simulated studies for each row, "
        f"{N_RESAMPLES} resamples each. A {LEVEL} % interval should hold the truth in "
        f"{LEVEL} % of them.",
        "## mAP and paired differences",
        "`t` is what tables print. The others are the usual bootstrap intervals, over "
        "test images and seeds; they know little of other seeds if there are few, and "
        "copies of an image that shows a trait raise its AP. The truth is the mean mAP "
        "over other test images of other species and over other seeds, with the same "
        "traits; `t, traits too` also allows for other traits, which only the last "
        "study draws, so elsewhere it must cover more. For equal methods, what is "
        "missing to 100 % is how often they are told apart before any correction. With "
        "a single fit seed no interval can know what another seed would change: it "
        "is about that fit, and tables name such methods.",
        table,
        "## Equal methods that are told apart",
        "Five methods that are equal, with their ten comparisons corrected by Holm's "
        "method; and the traits of two of them, corrected likewise. A winner should be "
        f"named in at most {100 * SIGNIFICANT:g} % of studies. With a single fit, "
        "intervals leave out what another would change, and that rate is not held: it "
        "is a little higher where seeds do not matter, and winners are nearly always "
        "named where they do. The answer then says that a method is better “as fitted "
        "here”.",
        TextTable(
            {
                "Simulated": "<",
                "% with a winner": ">",
                "% with a trait won or lost": ">",
            },
            [measure_errors(study, n) for study in FAMILIES],
        ),
        "## Single traits",
        f"Coverage by the number of species that show the trait on average, of 100, "
        "and the share of studies that show an interval at all: it needs "
        f"{MIN_SHOWN_GROUPS} species. Columns differ in how strongly the trait shifts "
        "scores: by 0.5, 1.5 and 3 standard deviations. In a strong one's AP, which is "
        "close to 1, t intervals are somewhat too narrow.",
        TextTable(heads, measure_single(n)),
        "## Scores without meaning",
        f"Of {max(n // 4, 1):,} studies whose scores know nothing about labels, "
        f"{100 * null:.1f} % come out above the 95th percentile of 100 permutations; "
        "5 % should.",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000, help="simulated studies")
    write_text(write_coverage(parser.parse_args().n), OUT)
    print(f"wrote {OUT}")
