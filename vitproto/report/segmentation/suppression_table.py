"""Means over classes of what the edits change, and comparison of SAEs.

Axes: C classes, R resamples.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from vitproto.report.segmentation.suppression_rows import (
    CEILING,
    EDITS,
    OWN,
    Suppression,
)
from vitproto.report.shared.resampling import (
    DECIMALS,
    SEED,
    draw_resamples,
    find_interval,
)

TIE_DECIMALS = 9
"""Two specificities that agree to these decimals are tied: the files are rounded."""


class Mean(NamedTuple):
    """A mean over classes and its interval."""

    value: float
    low: float
    high: float
    n_classes: int


class SaeRank(NamedTuple):
    """An SAE, and how far its latents are below the most specific ones."""

    sae: str
    specificity: float
    """Mean over the classes that could be judged with all SAEs."""
    below: Mean
    """Specificity of the best SAE minus its own; 0 for the best SAE."""

    @property
    def is_worse(self) -> bool:
        """Whether the interval excludes 0, to the decimals that are printed."""
        return round(self.below.low, DECIMALS) > 0


def summarise(suppression: Suppression) -> pd.DataFrame:
    """Average the effect of each edit over classes.

    Returns:
        A row for each SAE, edit and dose, with the columns of the SAE and

        - `n_classes`: classes that could be judged (see `is_judged`), over which means
          are taken, and `n_unjudged`: those that could not;
        - `edit_norm`, `loss`, `collateral`, `specificity`: means over classes; the last
          three with an interval, `_low` and `_high`, by bootstrap over the classes;
        - for controls: `n_compared`, the classes in which the latents could be judged
          too; `margin`, the mean of the latents' specificity minus the control's, with
          its interval; `win_rate`, the share of classes in which the latents are more
          specific (ties count half); `n_above` and `n_below`, the classes in which the
          interval of the margin is above 0, or below it.

        Undefined values are NaN: intervals of a single class, margins of the latents.
    """
    summary = pd.DataFrame(
        [
            {
                "sae": sae,
                **suppression.places[sae]._asdict(),
                "edit": edit,
                "dose": dose,
            }
            | _summarise(rows, edit, len(suppression.class_names))
            for (sae, edit, dose), rows in suppression.rows.groupby(
                ["sae", "edit", "dose"]
            )
        ]
    )
    order = pd.DataFrame(
        {
            "sae": summary["sae"].map(suppression.saes.index),
            "edit": summary["edit"].map(list(EDITS).index),
            "dose": -summary["dose"],
        }
    ).sort_values(["sae", "edit", "dose"])
    counts = ["n_compared", "n_above", "n_below"]
    return (
        summary.loc[order.index]
        .reset_index(drop=True)
        .astype(dict.fromkeys(counts, "Int64"))
    )


def is_judged(rows: pd.DataFrame) -> pd.Series:
    """Find the rows that show how much an edit affects the class.

    Left out are rows without a measure; classes whose IoU is 0 before the edit, which
    have nothing to lose; and edits without length, whose latents are never active.
    """
    can_change = (rows["iou_before"] > 0) & (rows["edit_norm"] > 0)
    return rows["specificity"].notna() & can_change


def _summarise(
    rows: pd.DataFrame, edit: str, n_all: int
) -> dict[str, float | int | None]:
    judged = rows[is_judged(rows)]
    numbers: dict[str, float | int | None] = {
        "n_classes": len(judged),
        "n_unjudged": n_all - len(judged),
        "edit_norm": judged["edit_norm"].mean(),
    }
    for name in ("loss", "collateral", "specificity"):
        numbers |= _columns(name, mean_over_classes(judged[name].to_numpy()))
    margins = judged if edit == OWN else judged[judged["margin"].notna()]
    margin_C = margins["margin"].to_numpy().round(TIE_DECIMALS)
    has_none = edit == OWN or len(margins) == 0
    numbers["n_compared"] = None if edit == OWN else len(margins)
    mean = mean_over_classes(margin_C[:0] if has_none else margin_C)
    numbers |= _columns("margin", mean)
    wins_C = (margin_C > 0) + 0.5 * (margin_C == 0)
    numbers["win_rate"] = np.nan if has_none else float(wins_C.mean())
    # To the decimals that are printed, as in `SaeRank.is_worse`.
    is_above = margins["margin_low"].round(DECIMALS) > 0
    is_below = margins["margin_high"].round(DECIMALS) < 0
    numbers["n_above"] = None if edit == OWN else int(is_above.sum())
    numbers["n_below"] = None if edit == OWN else int(is_below.sum())
    return numbers


def _columns(name: str, mean: Mean) -> dict[str, float | int | None]:
    ends = {f"{name}_low": mean.low, f"{name}_high": mean.high}
    known = {key: end if np.isfinite(end) else np.nan for key, end in ends.items()}
    return {name: mean.value, **known}


def mean_over_classes(value_C: Float[np.ndarray, " c"]) -> Mean:
    """Compute the mean, and its interval by bootstrap over the classes.

    Each resample draws n − 1 of n classes, which makes the variance of the mean right.
    The interval of a single class is unknown, from −∞ to ∞.
    """
    n_classes = len(value_C)
    if n_classes == 0:
        return Mean(np.nan, np.nan, np.nan, 0)
    weights_RC = draw_resamples(n_classes, np.random.default_rng(SEED))
    # No matrix product: its last bits depend on the machine.
    mean_R = (weights_RC * value_C).sum(axis=1) / weights_RC.sum(axis=1)
    low, high = find_interval(mean_R, n_classes)
    return Mean(float(value_C.mean()), low, high, n_classes)


def share_of_ceiling(
    suppression: Suppression, sae: str, dose: float
) -> tuple[float, float]:
    """Mean specificity of the latents and of the ceiling, over classes with both.

    Returns:
        Both means; NaN if there is no such class.
    """
    both = _specificities(suppression, dose)
    both = both[both["sae"] == sae].pivot(
        index="label", columns="edit", values="specificity"
    )
    both = both.reindex(columns=[OWN, CEILING]).dropna()
    if both.empty:
        return np.nan, np.nan
    return float(both[OWN].mean()), float(both[CEILING].mean())


def rank_saes(suppression: Suppression, dose: float) -> list[SaeRank]:
    """Rank SAEs by the specificity of their latents.

    Means are over the classes that could be judged with all SAEs, with the same
    resamples.

    Returns:
        The most specific first, equals by name; empty if there is no such class.
    """
    own = _specificities(suppression, dose)
    table = own[own["edit"] == OWN].pivot(
        index="label", columns="sae", values="specificity"
    )
    table = table.reindex(columns=suppression.saes).dropna()
    if table.empty:
        return []
    means = {sae: float(table[sae].mean()) for sae in suppression.saes}
    order = sorted(means, key=lambda sae: (-means[sae], sae))
    best_C = table[order[0]].to_numpy()
    return [
        SaeRank(sae, means[sae], mean_over_classes(best_C - table[sae].to_numpy()))
        for sae in order
    ]


def _specificities(suppression: Suppression, dose: float) -> pd.DataFrame:
    rows = suppression.rows[
        (suppression.rows["dose"] == dose) & is_judged(suppression.rows)
    ]
    return rows[["sae", "label", "edit", "specificity"]]
