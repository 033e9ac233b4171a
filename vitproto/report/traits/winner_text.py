"""Sentences that say which method wins."""

from collections.abc import Sequence

from vitproto.report.shared.resampling import LEVEL, N_RESAMPLES
from vitproto.report.shared.wording import join_names, write_interval
from vitproto.report.traits.winners import Comparison, Standing


def write_winner(comparison: Comparison) -> str:
    """Say which method wins and by how much, or that none does."""
    best, *others = comparison.standings
    begin = (
        f"With {comparison.n_prototypes} prototypes ({comparison.encoder}, layer "
        f"{comparison.layer}, chosen on {comparison.n_train:,} images)"
    )
    level = "" if best.map > comparison.chance else ", which is no better than chance"
    worse = [other for other in others if other.is_worse]
    close = [other for other in others if not other.is_worse]
    if not close:
        return (
            f"{begin}, {best.method} wins: mAP {best.map:.3f}{level}, "
            f"{worse[0].below:.3f} more than the next, {worse[0].method} "
            f"({LEVEL} % interval {_interval(worse[0])})."
        )
    named = [
        f"{other.method} ({other.map:.3f}; lead {other.below:.3f}, {LEVEL} % interval "
        f"{_interval(other)})"
        for other in close
    ]
    sentence = (
        f"{begin}, nobody wins: {best.method} has the highest mAP, {best.map:.3f}"
        f"{level}, but cannot be told apart from {join_names(named)}"
    )
    if worse:
        sentence += (
            f"; its lead over the best of the rest, {worse[0].method}, is "
            f"{worse[0].below:.3f} ({_interval(worse[0])})"
        )
    return f"{sentence}."


def explain_winners(comparisons: Sequence[Comparison]) -> str:
    """Explain how the intervals are made, and what they leave out."""
    if not comparisons:
        return (
            "No two methods have the same number of prototypes in the same layer of "
            "an encoder, so none can win."
        )
    single = {
        standing.method
        for comparison in comparisons
        for standing in comparison.standings
        if standing.n_pairs == 1
    }
    text = (
        f"A method wins if the {LEVEL} % intervals of its lead over all others exclude "
        f"0. Intervals are percentiles of {N_RESAMPLES:,} bootstrap resamples of the "
        "attributes (all traits of has_wing_color together), the same for all methods, "
        "and of each method's seeds. Each interval is for a single comparison; among "
        "many, a few exclude 0 by chance."
    )
    if single:
        verb = "has" if len(single) == 1 else "have"
        text += (
            f" {join_names(sorted(single))} {verb} a single seed in some comparison: "
            "its interval leaves out what another seed would change."
        )
    return text


def _interval(standing: Standing) -> str:
    return write_interval(standing.low, standing.high, "trait")
