"""Rank the latents that detect each class, and choose those to suppress.

Labels count from 1, as in masks; 0 is unlabelled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from vitproto.core.bounds import Count, Index, Share, check_bounds
from vitproto.segmentation.suppression.detection import Detection, detect
from vitproto.segmentation.suppression.sparse_latents import SparseLatents

Criterion = Literal["ap", "f1"]

COLUMNS = {
    "label": "int64",
    "class_name": "str",
    "n_patches": "int64",
    "criterion": "str",
    "rank": "Int64",
    "latent": "Int64",
    "ap": "float64",
    "f1": "float64",
    "threshold": "float32",
    "alignment": "float64",
    "prevalence": "float64",
    "is_chosen": "bool",
    "note": "str",
}
"""The columns of class_latents.csv and their types; missing values are left empty."""


@dataclass(frozen=True)
class RankingSettings:
    """How the latents that detect a class are found."""

    min_purity: Share
    """Smallest share of a patch's pixels that show one class. Latents are ranked on
    such patches only."""
    n_patches: Count
    """Most training patches that latents are ranked on: a sample, if there are more.
    Their nonzero latents are held in memory."""
    n_ranked: Count
    """Latents that are reported for each class and criterion."""
    n_chosen: Count
    """Best latents of each class, which are suppressed."""
    chosen_by: Criterion
    """Criterion for the best: `ap` (average precision), or `f1` (the best F1 over all
    thresholds)."""
    seed: Index
    """Decides which patches are drawn. A smaller draw is part of a larger one."""

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.n_chosen > self.n_ranked:
            raise ValueError(
                f"{self.n_chosen} latents of a class are to be suppressed, but only "
                f"{self.n_ranked} are ranked: raise n_ranked or lower n_chosen"
            )


def parse_picked(
    texts: Sequence[str], n_classes: int, n_latents: int
) -> dict[int, list[int]]:
    """Parse the latents that the user picked for labels.

    Args:
        texts: a label and its latents each, such as `29:8541,5818`.
        n_classes: C; labels go from 1 to C.
        n_latents: S; latents go from 0 to S - 1.

    Raises:
        ValueError: a text has another form, or a label or latent does not exist or
            occurs twice.
    """
    picked: dict[int, list[int]] = {}
    for text in texts:
        label_text, _, latents_text = text.partition(":")
        try:
            label = int(label_text)
            latents = [int(part) for part in latents_text.split(",")]
        except ValueError:
            raise ValueError(
                f"cannot read the latents of a class from {text!r}: write the label, a "
                "colon and the latents, such as 29:8541,5818"
            ) from None
        if not 1 <= label <= n_classes:
            raise ValueError(
                f"latents are picked for label {label}, but there are {n_classes} "
                f"classes: write a label from 1 to {n_classes}"
            )
        if label in picked:
            raise ValueError(
                f"latents are picked for label {label} twice: write all of them in one "
                "item"
            )
        for latent in latents:
            if not 0 <= latent < n_latents:
                raise ValueError(
                    f"latent {latent} is picked for label {label}, but the "
                    f"autoencoder has {n_latents} latents: write a number from 0 to "
                    f"{n_latents - 1}"
                )
        if len(set(latents)) < len(latents):
            raise ValueError(
                f"a latent is picked for label {label} twice in {text!r}: write each "
                "once"
            )
        picked[label] = latents
    return picked


def rank(
    sparse: SparseLatents,
    class_names: Sequence[str],
    W_dec_SD: Float32[np.ndarray, "s d"],
    class_directions_CD: Float32[np.ndarray, "c d"],
    picked: Mapping[int, Sequence[int]],
    cfg: RankingSettings,
) -> pd.DataFrame:
    """Rank the latents that detect each class best, and choose those to suppress.

    Latents that are active on patches of the class come first, then latents active on
    other patches only, then latents that no training patch activates. Within each
    group, the highest AP or F1 comes first; of equal ones the lower latent.

    Chosen are the first `n_chosen` latents by `chosen_by` that are active on patches of
    the class, or those that the user picked for it. A picked latent has a row with
    criterion `ap`, whatever its rank, and is marked as chosen there.

    Args:
        sparse: the latents of drawn patches.
        class_names: the names of the labels 1 to C.
        W_dec_SD: the decoder.
        class_directions_CD: the direction that raises each class's logit; NaN if there
            is none.
        picked: the latents that the user picked, by label.

    Returns:
        A row per class, criterion and rank with `COLUMNS`. `n_patches` is the number of
        drawn patches of the class, `prevalence` their share of all drawn patches, and
        `alignment` the cosine of the latent's decoder row with the class direction. A
        class without patches has one row without a latent, or one for each picked.
        `note` says why something is missing.
    """
    detection = detect(sparse.start_T, sparse.class_V, sparse.value_V, sparse.n_drawn_C)
    rows = []
    for c, class_name in enumerate(class_names):
        n_drawn, picks = int(sparse.n_drawn_C[c]), picked.get(c + 1)
        notes = _class_notes(sparse, detection, c, cfg)
        of_class = {
            "label": c + 1,
            "class_name": class_name,
            "n_patches": n_drawn,
            "prevalence": n_drawn / sparse.n_drawn_C.sum(),
        }
        ranked = [
            of_class | row
            for criterion in get_args(Criterion)
            for row in _rank_class(sparse, detection, c, criterion, picks, cfg)
        ]
        if not ranked:
            ranked = [of_class | {"criterion": cfg.chosen_by, "is_chosen": False}]
        for row in ranked:
            latent_notes = []
            if "latent" in row:
                u_D, v_D = W_dec_SD[row["latent"]], class_directions_CD[c]
                row["alignment"] = _cosine(u_D, v_D)
                if row["is_chosen"] and sparse.n_active_S[row["latent"]] == 0:
                    latent_notes = ["this latent is never active"]
            row["note"] = "; ".join([*notes, *latent_notes])
        rows += ranked
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(COLUMNS)


def _class_notes(
    sparse: SparseLatents, detection: Detection, c: int, cfg: RankingSettings
) -> list[str]:
    """Why a class has no latents, if so."""
    if sparse.n_pure_C[c] == 0:
        return [f"no training patch of purity ≥ {cfg.min_purity:g}"]
    if sparse.n_drawn_C[c] == 0:
        return [f"none of its {sparse.n_pure_C[c]} pure training patches was drawn"]
    if not detection.n_active_SC[:, c].any():
        return ["its latents are never active"]
    return []


def _rank_class(
    sparse: SparseLatents,
    detection: Detection,
    c: int,
    criterion: Criterion,
    picks: Sequence[int] | None,
    cfg: RankingSettings,
) -> list[dict[str, Any]]:
    """The rows of a class for one criterion."""
    measures = {"ap": detection.ap_SC, "f1": detection.f1_SC}
    is_picked = picks is not None and criterion == "ap"
    if sparse.n_drawn_C[c] == 0:
        return [
            {"criterion": criterion, "latent": latent, "is_chosen": True}
            for latent in (picks if is_picked else [])
        ]
    is_silent_S = detection.n_active_SC[:, c] == 0
    # `lexsort` sorts by the last key first, and is stable.
    keys = (-measures[criterion][:, c], is_silent_S, sparse.n_active_S == 0)
    order_S = np.lexsort(keys)
    shown = set(range(min(cfg.n_ranked, len(order_S))))
    if is_picked:
        shown |= set(np.flatnonzero(np.isin(order_S, picks)).tolist())
    rows = []
    for i_rank in sorted(shown):
        latent = int(order_S[i_rank])
        if picks is not None:
            is_chosen = is_picked and latent in picks
        else:
            is_best = criterion == cfg.chosen_by and i_rank < cfg.n_chosen
            is_chosen = is_best and not is_silent_S[latent]
        rows.append(
            {
                "criterion": criterion,
                "rank": i_rank,
                "latent": latent,
                "ap": detection.ap_SC[latent, c],
                "f1": detection.f1_SC[latent, c],
                "threshold": detection.threshold_SC[latent, c],
                "is_chosen": bool(is_chosen),
            }
        )
    return rows


def _cosine(
    u_D: Float32[np.ndarray, " d"] | Float64[np.ndarray, " d"],
    v_D: Float32[np.ndarray, " d"] | Float64[np.ndarray, " d"],
) -> float:
    """The cosine of two vectors; NaN if one is NaN or 0."""
    u_D, v_D = u_D.astype(np.float64), v_D.astype(np.float64)
    length = np.sqrt((u_D**2).sum() * (v_D**2).sum())
    return float((u_D * v_D).sum() / length) if length > 0 else np.nan
