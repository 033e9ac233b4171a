"""Whether the latents of an SAE matter more to their class than other edits.

A sentence on all SAEs, and a paragraph on each: latents beside controls, edits of the
same length, and beside the ceiling.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vitproto.core.confidence import LEVEL
from vitproto.report.segmentation.suppression_phrases import (
    NEARLY_ALL,
    count_classes,
    find_verdict,
    is_or_are,
    write_length,
    write_with_level,
)
from vitproto.report.segmentation.suppression_rows import (
    AT_HALF,
    AT_LENGTH,
    CEILING,
    CONTROLS,
    EDITS,
    OWN,
    Suppression,
)
from vitproto.report.shared.wording import (
    CONTROL_BADGE,
    DECIMALS,
    join_names,
    write_all,
    write_measure,
    write_number,
    write_p,
    write_share,
)
from vitproto.segmentation.suppression.terms import LEAST_CLASSES

OTHER_EDITS = "equally long edits with other latents or random directions"
"""The controls. The class direction is none: it should harm the class more."""


def write_answer(suppression: Suppression) -> str:
    """Name the SAEs whose latents matter more than all controls."""
    winners, n_compared, n_judged, n_margins = [], 0, 0, 0
    for sae in suppression.saes:
        compared = _compared(_edits_of(suppression, sae))
        n_compared += len(compared)
        n_known = sum(not math.isnan(row["margin_p"]) for _, row in compared)
        n_judged += n_known > 0
        n_margins += n_known
        if compared and all(_margin_verdict(row) == 1 for _, row in compared):
            winners.append(sae)
    if not n_judged:
        how_many = f"fewer than {LEAST_CLASSES} classes" if n_compared else "no class"
        return f"No conclusion: {how_many} could be compared with {OTHER_EDITS}."
    n_saes = len(suppression.saes)
    if not winners:
        whose = suppression.saes[0] if n_saes == 1 else f"none of {n_saes} SAEs"
        does = "do not clearly matter" if n_saes == 1 else "clearly matter"
        text = (
            f"The latents of {whose} {does} more to their class than all kinds of "
            f"{OTHER_EDITS}."
        )
    elif len(winners) == n_saes:
        all_of_them = f"{write_all(n_saes)} SAEs"
        whose = winners[0] if n_saes == 1 else all_of_them
        text = f"The latents of {whose} matter more to their class than {OTHER_EDITS}."
    else:
        text = (
            f"For {len(winners)} of {n_saes} SAEs, the latents matter more to their "
            f"class than {OTHER_EDITS}: {join_names(winners)}."
        )
    if n_margins > 1:
        text += (
            f" Each margin counts by its p-value, corrected for {write_all(n_margins)} "
            "comparisons of SAEs with such edits (Holm)."
        )
    if any(CONTROL_BADGE in sae for sae in winners):
        text += (
            " An untrained SAE is among them, so this alone does not show that "
            "training found the class."
        )
    return text


def write_verdict(sae: str, suppression: Suppression) -> str:
    """Say whether the latents of an SAE matter more to their class than controls."""
    edits = _edits_of(suppression, sae)
    if OWN not in edits.index or not edits.loc[OWN, "n_classes"]:
        return f"With {sae}, no class could be judged."
    own = edits.loc[OWN]
    n = int(own["n_classes"])
    over = (
        "in the only class that is left" if n == 1 else f"on average over {n} classes"
    )
    sentences = [
        f"With edits {write_length(own['length'])}, {_judge(sae, edits)}",
        f"They take {write_share(own['loss'])} % of its IoU from the class and "
        f"{write_share(own['collateral'])} % from the others, {over}: a specificity of "
        f"{write_measure(own['specificity'])}{_level(own)}",
        _warn_of_length(own["length"]),
        _write_saturation(own),
        _write_half(suppression, sae),
        _compare_with_ceiling(edits),
    ]
    return " ".join(filter(None, sentences))


def _edits_of(suppression: Suppression, sae: str) -> pd.DataFrame:
    """The summary of an SAE at the length where SAEs are compared, by edit."""
    at_length = suppression.at(AT_LENGTH)
    return at_length[at_length["sae"] == sae].set_index("edit")


def _compared(edits: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """List the controls that are compared with latents in some class, with rows."""
    return [
        (edit, edits.loc[edit])
        for edit in CONTROLS
        if edit in edits.index and edits.loc[edit, "n_compared"]
    ]


def _margin_verdict(row: pd.Series) -> int:
    return find_verdict(row["margin"], row["margin_p"])


def _judge(sae: str, edits: pd.DataFrame) -> str:
    """Name the controls against which latents win, lose, or neither."""
    latents = f"the latents of {sae}"
    compared = _compared(edits)
    if not compared:
        return f"there is no control to compare {latents} with."
    known = [pair for pair in compared if not math.isnan(pair[1]["margin_p"])]
    few = [pair for pair in compared if math.isnan(pair[1]["margin_p"])]
    verbs = {
        "matter more to their class than": 1,
        "cannot be told apart from": 0,
        "matter less to their class than": -1,
    }
    clauses = []
    for verb, verdict in verbs.items():
        pairs = [pair for pair in known if _margin_verdict(pair[1]) == verdict]
        if pairs:
            who = "they" if clauses else latents
            those = "those" if clauses else "equally long edits"
            clauses.append(f"{who} {verb} {those} with {_name_margins(pairs)}")
    if few:
        named = join_names([EDITS[edit] for edit, _ in few])
        who = "them" if clauses else latents
        clauses.append(
            f"fewer than {LEAST_CLASSES} classes are too few to compare {who} with "
            f"{named}"
        )
    is_decided = any(_margin_verdict(row) for _, row in known)
    begin = "nobody wins: " if known and not is_decided else ""
    return f"{begin}{'; '.join(clauses)}."


def _name_margins(pairs: Sequence[tuple[str, pd.Series]]) -> str:
    """`random latents (margin 0.1, 95 % interval 0.05 to 0.15, p = 0.01) and …`."""
    return join_names(
        [
            f"{EDITS[edit]} (margin {write_with_level(row, 'margin')}, "
            f"{write_p(row['margin_p'])})"
            for edit, row in pairs
        ]
    )


def _level(own: pd.Series) -> str:
    """The interval of the specificity, and whether it excludes 0."""
    low, high = own["specificity_low"], own["specificity_high"]
    if math.isnan(low):
        return "."
    shown = f" ({LEVEL} % interval {write_measure(low)} to {write_measure(high)})"
    if high < 0:
        return f"{shown}: they harm the others more than their class."
    if low <= 0:
        return f"{shown}, which is not clearly above 0."
    return f"{shown}."


def _warn_of_length(length: float) -> str:
    if length < 1:
        return ""
    return (
        "Activations edited this much are far from those of any image: shorter edits "
        "are more informative."
    )


def _write_saturation(own: pd.Series) -> str:
    """Count the classes that do not reach the length, or are gone there."""
    parts = []
    if n := int(own["n_unreached"]):
        parts.append(
            f"{count_classes(n)} {is_or_are(n)} left out: no dose makes edits this "
            "long."
        )
    if n := int(own["n_gone"]):
        parts.append(
            f"{count_classes(n)} {is_or_are(n)} saturated there, with at least "
            f"{NEARLY_ALL} of the IoU lost."
        )
    return " ".join(parts)


def _write_half(suppression: Suppression, sae: str) -> str:
    """Say what the others lose where classes have lost half of their IoU."""
    at_half = suppression.at(AT_HALF)
    own_rows = at_half[(at_half["sae"] == sae) & (at_half["edit"] == OWN)]
    if own_rows.empty:
        return ""
    row = own_rows.iloc[0]
    never = int(row["n_unreached"])
    if not row["n_classes"]:
        return "No class loses half of its IoU at any dose."
    text = (
        f"{count_classes(row['n_classes']).capitalize()} {_lose(row['n_classes'])} "
        "half of the IoU at some dose, on average by edits "
        f"{write_number(row['length'], 2)} times as long as the activations; the "
        f"others have then lost {write_share(row['collateral'])} %."
    )
    if never:
        text += f" {count_classes(never).capitalize()} never {_lose(never)} half."
    return text


def _compare_with_ceiling(edits: pd.DataFrame) -> str:
    if CEILING not in edits.index or not edits.loc[CEILING, "n_compared"]:
        return ""
    row = edits.loc[CEILING]
    ceiling, own = row["specificity"], row["specificity"] + row["margin"]
    begin = (
        "An edit of the same length along the probe's own class direction, the "
        f"ceiling, has a specificity of {write_measure(ceiling)}"
    )
    if round(ceiling, DECIMALS) <= 0:
        return f"{begin}: at this length not even the ceiling is specific to the class."
    if own >= ceiling:
        return f"{begin}: the latents reach all of it."
    if round(own, DECIMALS) <= 0:
        return f"{begin}: the latents reach none of it."
    return f"{begin}: the latents reach {write_share(own / ceiling)} % of it."


def _lose(n: int | np.integer) -> str:
    return "loses" if n == 1 else "lose"
