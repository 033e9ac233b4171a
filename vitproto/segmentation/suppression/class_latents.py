"""Which latents detect each class, and which of them are suppressed?

Labels count from 1 as in the masks; 0 is unlabelled.
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
"""The columns of class_latents.csv and their types; what is missing is left empty."""


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
    """Which latents did the user choose for which label?

    Args:
        texts: such as `29:8541,5818`, a label and latents each.
        n_classes: C; labels go from 1 to C.
        n_latents: S; latents go from 0 to S - 1.

    Raises:
        ValueError: not of this form, a label or latent that does not exist, or one
            that stands there twice.
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
                f"latents are chosen for the label {label}, but there are {n_classes} "
                f"classes: write a label from 1 to {n_classes}"
            )
        if label in picked:
            raise ValueError(
                f"latents are chosen for the label {label} twice: write them all once"
            )
        for latent in latents:
            if not 0 <= latent < n_latents:
                raise ValueError(
                    f"latent {latent} is chosen for the label {label}, but the "
                    f"autoencoder has {n_latents} latents: write a number from 0 to "
                    f"{n_latents - 1}"
                )
        if len(set(latents)) < len(latents):
            raise ValueError(
                f"a latent is chosen for the label {label} twice in {text!r}: write "
                "each once"
            )
        picked[label] = latents
    return picked


def rank(
    found: SparseLatents,
    class_names: Sequence[str],
    W_dec_SD: Float32[np.ndarray, "s d"],
    class_directions_CD: Float32[np.ndarray, "c d"],
    picked: Mapping[int, Sequence[int]],
    cfg: RankingSettings,
) -> pd.DataFrame:
    """Which latents detect each class best, and which of them are suppressed?

    Latents that are active on patches of the class come first, then those active on
    others only, then those never active on a training patch. Within these, the
    highest AP or F1 comes first, of equal ones the lower latent.

    Suppressed are, for a class, the first `n_chosen` by `chosen_by` that are active
    on its patches, or those picked for it instead. A picked latent is marked in its
    row of the criterion `ap`, which it gets whatever its rank.

    Args:
        found: the latents of drawn patches.
        class_names: of the labels 1 to C.
        W_dec_SD: the decoder.
        class_directions_CD: the direction that raises each class's logit; NaN where
            there is none.
        picked: the user's choice of latents by label.

    Returns:
        A row per class, criterion and rank with `COLUMNS`; `n_patches` counts the
        drawn patches of the class, `prevalence` is their share of all, and `alignment`
        the cosine of the latent's decoder row with the class direction. A class
        without patches has one row without a latent, or one for each picked. `note`
        says why something is missing.
    """
    detection = detect(found.start_T, found.class_V, found.value_V, found.n_drawn_C)
    rows = []
    for c, class_name in enumerate(class_names):
        n_drawn, picks = int(found.n_drawn_C[c]), picked.get(c + 1)
        notes = _class_notes(found, detection, c, cfg)
        of_class = {
            "label": c + 1,
            "class_name": class_name,
            "n_patches": n_drawn,
            "prevalence": n_drawn / found.n_drawn_C.sum(),
        }
        ranked = [
            of_class | row
            for criterion in get_args(Criterion)
            for row in _rank_class(found, detection, c, criterion, picks, cfg)
        ]
        if not ranked:
            ranked = [of_class | {"criterion": cfg.chosen_by, "is_chosen": False}]
        for row in ranked:
            latent_notes = []
            if "latent" in row:
                u_D, v_D = W_dec_SD[row["latent"]], class_directions_CD[c]
                row["alignment"] = _cosine(u_D, v_D)
                if row["is_chosen"] and found.n_active_S[row["latent"]] == 0:
                    latent_notes = ["this latent is never active"]
            row["note"] = "; ".join([*notes, *latent_notes])
        rows += ranked
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(COLUMNS)


def _class_notes(
    found: SparseLatents, detection: Detection, c: int, cfg: RankingSettings
) -> list[str]:
    """What is odd about a class."""
    if found.n_pure_C[c] == 0:
        return [f"no training patch of purity ≥ {cfg.min_purity:g}"]
    if found.n_drawn_C[c] == 0:
        return [f"none of its {found.n_pure_C[c]} pure training patches was drawn"]
    if not detection.n_active_SC[:, c].any():
        return ["its latents are never active"]
    return []


def _rank_class(
    found: SparseLatents,
    detection: Detection,
    c: int,
    criterion: Criterion,
    picks: Sequence[int] | None,
    cfg: RankingSettings,
) -> list[dict[str, Any]]:
    """What the rows of a class say for one criterion."""
    measures = {"ap": detection.ap_SC, "f1": detection.f1_SC}
    is_picked = picks is not None and criterion == "ap"
    if found.n_drawn_C[c] == 0:
        return [
            {"criterion": criterion, "latent": latent, "is_chosen": True}
            for latent in (picks if is_picked else [])
        ]
    is_silent_S = detection.n_active_SC[:, c] == 0
    # By the last key first; of equal latents the lower one stays first.
    keys = (-measures[criterion][:, c], is_silent_S, found.n_active_S == 0)
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
    """NaN where one of them is NaN or has no length."""
    u_D, v_D = u_D.astype(np.float64), v_D.astype(np.float64)
    length = np.sqrt((u_D**2).sum() * (v_D**2).sum())
    return float((u_D * v_D).sum() / length) if length > 0 else np.nan
