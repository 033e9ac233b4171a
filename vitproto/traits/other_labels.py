"""AP of the chosen prototypes on test images that are labelled by other rules."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from vitproto.data.label_rule import OTHER_RULES
from vitproto.traits.chance import chance_of
from vitproto.traits.chosen_scores import ChosenScores
from vitproto.traits.resampled_ap import resample_ap
from vitproto.traits.resampled_rows import ResampledImages


class Labels(NamedTuple):
    """Which test image shows which trait."""

    shown_NT: Bool[np.ndarray, "n t"]
    known_NT: Bool[np.ndarray, "n t"]
    """Which of these labels are known."""

    @property
    def scored_T(self) -> Bool[np.ndarray, " t"]:
        """Which traits some image shows."""
        return (self.shown_NT & self.known_NT).any(axis=0)


class RuleEffect(NamedTuple):
    """What another label rule does to the mAP of a configuration."""

    rule: str
    n_traits: int
    """Traits that a test image shows by both rules; the mAPs are over these."""
    map: float
    configured_map: float
    """By the rule of the study."""
    chance: float
    """The expected mAP of a random ranking."""
    configured_chance: float


def label_by_other_rules(images: ResampledImages) -> dict[str, Labels]:
    """Label the test images by `OTHER_RULES`; nothing if annotators gave no answers."""
    if images.answers_NT is None:
        return {}
    return {
        name: Labels(*rule.apply(images.answers_NT))
        for name, rule in OTHER_RULES.items()
    }


def find_effects(
    rows: pd.DataFrame,
    images: ResampledImages,
    labels: dict[str, Labels],
    chosen: ChosenScores,
) -> list[RuleEffect]:
    """The mAP of chosen prototypes by each rule, on the same traits as the study's.

    Nothing is chosen anew. A trait without a prototype scores the rule's chance. A rule
    by which no trait is left has no effect to measure.

    Args:
        rows: the rows of `ap.csv` of one configuration and `n_train`, all its seeds.
        images: the test images.
        labels: what `label_by_other_rules` gives.
        chosen: the scores of the prototypes.
    """
    configured = Labels(images.labels_NT, images.known_NT)
    rows = rows.sort_values("seed", kind="stable")
    fits = [chosen.scores_of(fit) for _, fit in rows.groupby("seed")]
    scores_NM = np.concatenate(fits, axis=1)[images.is_test_A]
    trait_M = np.array([images.place[trait] for trait in rows["trait"]])
    has_M = rows["prototype"].notna().to_numpy()
    base_M = _ap(scores_NM, configured, trait_M, has_M, images)
    effects = []
    for name, other in labels.items():
        both_T = configured.scored_T & other.scored_T
        if both_T.any():
            both_M = both_T[trait_M]
            ap_M = _ap(scores_NM, other, trait_M, has_M, images)
            maps = float(ap_M[both_M].mean()), float(base_M[both_M].mean())
            chances = [float(chance_of(*x)[both_T].mean()) for x in (other, configured)]
            effects.append(RuleEffect(name, int(both_T.sum()), *maps, *chances))
    return effects


def _ap(
    scores_NM: np.ndarray,
    labels: Labels,
    trait_M: np.ndarray,
    has_M: np.ndarray,
    images: ResampledImages,
) -> Float[np.ndarray, " m"]:
    """The AP of each column for its trait; chance where there is no prototype."""
    ap_M = resample_ap(
        scores_NM,
        (labels.shown_NT & labels.known_NT)[:, trait_M],
        images.group_N,
        np.ones((1, images.n_groups), np.int64),
        labels.known_NT[:, trait_M],
    )[0]
    return np.where(has_M, ap_M, chance_of(*labels)[trait_M])
