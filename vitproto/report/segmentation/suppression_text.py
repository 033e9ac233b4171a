"""What suppression showed, in words."""

import math

import pandas as pd

from vitproto.report.segmentation.class_names import list_classes
from vitproto.report.segmentation.suppression_rows import (
    CEILING,
    CONTROLS,
    EDITS,
    OWN,
    Suppression,
)
from vitproto.report.segmentation.suppression_table import (
    is_judged,
    rank_saes,
    share_of_ceiling,
)
from vitproto.report.shared.resampling import DECIMALS, LEVEL, N_RESAMPLES
from vitproto.report.shared.wording import (
    join_names,
    write_interval,
    write_number,
    write_plain,
    write_share,
)

NOTHING_TO_LOSE = "its IoU is 0 before any edit"
HEADING = "Do the latents of a class matter to it more than other edits?"


def describe_dose(dose: float) -> str:
    """What happens to the latents at a dose? `set to zero`, `set to −2 × largest`."""
    if dose == 0:
        return "set to zero"
    return f"set to {write_plain(dose)} times their largest observed value"


def write_headline(found: Suppression, summary: pd.DataFrame, dose: float) -> list[str]:
    """Do latents matter more than edits of the same length, and who wins?

    Args:
        found: what `read_suppression` gives.
        summary: what `summarise` gives.
        dose: at which SAEs and edits are compared.

    Returns:
        The answer in a sentence, a paragraph for each SAE, and with several SAEs one
        more, on which is best.
    """
    told = [
        write_verdict(sae, found, summary[summary["sae"] == sae], dose)
        for sae in found.saes
    ]
    if len(found.saes) > 1:
        told.append(write_best_sae(found, dose))
    return [write_answer(found, summary, dose), *told]


def write_answer(found: Suppression, summary: pd.DataFrame, dose: float) -> str:
    """For which SAEs do latents matter more than all controls?"""
    own, other = "their class", "equally long edits in other directions"
    winners, n_judged = [], 0
    for sae in found.saes:
        at_dose = _at_dose(summary[summary["sae"] == sae], dose)
        compared = _compared(at_dose)
        n_judged += bool(compared)
        if compared and all(_is_won(row) for _, row in compared):
            winners.append(sae)
    if not n_judged:
        return (
            "Nothing can be said: no class could be judged against edits in other "
            "directions."
        )
    n_saes = len(found.saes)
    if not winners:
        whose = found.saes[0] if n_saes == 1 else f"none of {n_saes} SAEs"
        does = "do not matter" if n_saes == 1 else "matter"
        return (
            f"Not surely: the latents of {whose} {does} more to {own} than all kinds "
            f"of {other}."
        )
    if len(winners) == n_saes:
        all_of_them = "both SAEs" if n_saes == 2 else f"all {n_saes} SAEs"
        whose = winners[0] if n_saes == 1 else all_of_them
        return f"Yes: the latents of {whose} matter more to {own} than {other}."
    return (
        f"For {len(winners)} of {n_saes} SAEs: the latents of {join_names(winners)} "
        f"matter more to {own} than {other}."
    )


def write_verdict(
    sae: str, found: Suppression, summary: pd.DataFrame, dose: float
) -> str:
    """Do the latents of one SAE matter more to their class than the controls?"""
    at_dose = _at_dose(summary, dose)
    n_judged = int(at_dose["n_classes"].get(OWN, 0))
    begin = f"With the latents of {sae} {describe_dose(dose)},"
    if not n_judged:
        return f"{begin} no class could be judged, so nothing can be said."
    own = at_dose.loc[OWN]
    over = (
        "in the one class that could be judged"
        if n_judged == 1
        else f"on average over {n_judged} classes"
    )
    sentences = [
        f"{begin} {_judge(at_dose)}",
        f"They take {write_number(own['loss'])} of IoU from their class and "
        f"{write_number(own['collateral'])} from the mean of the others, {over}: a "
        f"specificity of {write_number(own['specificity'])}"
        f"{_level(own)}",
        _write_length(own["edit_norm"]),
        _compare_with_ceiling(found, sae, dose),
    ]
    return " ".join(filter(None, sentences))


def _at_dose(summary: pd.DataFrame, dose: float) -> pd.DataFrame:
    return summary[summary["dose"] == dose].set_index("edit")


def _compared(at_dose: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """The controls that some class has beside its latents, with their rows."""
    return [
        (edit, at_dose.loc[edit])
        for edit in CONTROLS
        if edit in at_dose.index and at_dose.loc[edit, "n_compared"]
    ]


def _is_won(row: pd.Series) -> bool:
    """Is the margin surely above 0? To the decimals that are printed."""
    return bool(round(row["margin_low"], DECIMALS) > 0)


def _judge(at_dose: pd.DataFrame) -> str:
    """Against which controls do the latents win, lose, or neither?"""
    compared = _compared(at_dose)
    if not compared:
        return "there is no control to compare them with."
    won = [pair for pair in compared if _is_won(pair[1])]
    lost = [pair for pair in compared if round(pair[1]["margin_high"], DECIMALS) < 0]
    told = [edit for edit, _ in won + lost]
    close = [pair for pair in compared if pair[0] not in told]
    verbs = {
        "matter more to their class than": won,
        "cannot be told apart from": close,
        "matter less to their class than": lost,
    }
    clauses = []
    for verb, pairs in verbs.items():
        if pairs:
            those = "those" if clauses else "equally long edits"
            clauses.append(f"{verb} {those} with {_name_margins(pairs)}")
    begin = "" if told else "nobody wins: "
    return f"{begin}they {'; they '.join(clauses)}."


def _name_margins(pairs: list[tuple[str, pd.Series]]) -> str:
    """`random latents (margin 0.100, 95 % interval 0.050 to 0.150) and …`."""
    named = []
    for i, (edit, row) in enumerate(pairs):
        label = "margin " if i == 0 else ""
        level = f"{LEVEL} % interval " if i == 0 else ""
        interval = write_interval(row["margin_low"], row["margin_high"])
        named.append(
            f"{EDITS[edit]} ({label}{write_number(row['margin'])}, {level}{interval})"
        )
    return join_names(named)


def _level(own: pd.Series) -> str:
    """How surely do the latents harm their class more than the others?"""
    if math.isnan(own["specificity_low"]):
        return "."
    interval = write_interval(own["specificity_low"], own["specificity_high"])
    told = f" ({LEVEL} % interval {interval})"
    if round(own["specificity_high"], DECIMALS) < 0:
        return f"{told}: they harm the others more than their class."
    if round(own["specificity_low"], DECIMALS) <= 0:
        return f"{told}, which is not surely more than nothing."
    return f"{told}."


def _write_length(edit_norm: float) -> str:
    """How long are the edits? Beyond the activations' own length, with a warning."""
    if edit_norm < 1:
        return (
            f"All edits are {write_share(edit_norm)} % as long as the activations, on "
            "average."
        )
    return (
        f"All edits are {write_number(edit_norm, 1)} times as long as the activations, "
        "on average: what is edited so is far from any image, and weaker doses tell "
        "more."
    )


def _compare_with_ceiling(found: Suppression, sae: str, dose: float) -> str:
    own, ceiling = share_of_ceiling(found, sae, dose)
    if math.isnan(ceiling):
        return ""
    begin = (
        "The same length along the probe's own class direction, the ceiling, has a "
        f"specificity of {write_number(ceiling)}"
    )
    if round(ceiling, DECIMALS) <= 0:
        return f"{begin}: at this length not even the ceiling harms the class alone."
    if own >= ceiling:
        return f"{begin}: the latents reach all of it."
    if round(own, DECIMALS) <= 0:
        return f"{begin}: the latents reach nothing of it."
    return f"{begin}: the latents reach {write_share(own / ceiling)} % of it."


def write_best_sae(found: Suppression, dose: float) -> str:
    """Whose latents are the most specific? Or nobody's."""
    ranks = rank_saes(found, dose)
    if not ranks:
        return "No class was judged with all SAEs, so they cannot be compared."
    best, *others = ranks
    n = best.below.n_classes
    begin = f"Of the SAEs, over {n} {'class' if n == 1 else 'classes'} that all judge,"
    close = [rank for rank in others if not rank.is_worse]
    caution = "Their edits may differ in length: compare the column Edit norm."
    if not close:
        second = others[0]
        return (
            f"{begin} {best.sae} wins: specificity {write_number(best.specificity)}, "
            f"{write_number(second.below.value)} more than the next, {second.sae} "
            f"({LEVEL} % interval "
            f"{write_interval(second.below.low, second.below.high)}). {caution}"
        )
    named = [
        f"{rank.sae} ({write_number(rank.specificity)}; lead "
        f"{write_number(rank.below.value)}, {LEVEL} % interval "
        f"{write_interval(rank.below.low, rank.below.high)})"
        for rank in close
    ]
    return (
        f"{begin} nobody wins: {best.sae} has the highest specificity, "
        f"{write_number(best.specificity)}, but cannot be told apart from "
        f"{join_names(named)}. {caution}"
    )


def explain_intervals() -> str:
    """How are the intervals made, and what do they leave out?"""
    return (
        f"In the summary, intervals are percentiles of {N_RESAMPLES:,} bootstrap "
        "resamples of the classes; class by class, of the images. The latents win if "
        f"the {LEVEL} % interval of their margin excludes 0. Each interval stands for "
        "one comparison; of many, a few exclude 0 by luck. None of them shows what "
        "another seed of the SAE or of the probe would change."
    )


def write_unjudged(found: Suppression, sae: str, dose: float) -> str:
    """Which classes could not be judged with an SAE, and why?"""
    reasons = list_unjudged(found, sae, dose)
    n_all = len(found.class_names)
    if not reasons:
        return f"{sae}: all {n_all} classes were judged."
    n_missing = sum(len(labels) for labels in reasons.values())
    named = [
        f"{why}: " + list_classes((label, found.class_names[label]) for label in labels)
        for why, labels in reasons.items()
    ]
    verb = "counts" if n_missing == 1 else "count"
    return (
        f"{sae}: {n_missing} of {n_all} classes could not be judged and {verb} in no "
        f"mean and no win rate. {'. '.join(map(_capital, named))}."
    )


def list_unjudged(found: Suppression, sae: str, dose: float) -> dict[str, list[int]]:
    """Labels of the classes that could not be judged, by the note that says why."""
    own = found.rows[
        (found.rows["sae"] == sae)
        & (found.rows["dose"] == dose)
        & (found.rows["edit"] == OWN)
    ].set_index("label")
    reasons: dict[str, list[int]] = {}
    for label in found.class_names:
        if label not in own.index:
            why = "not measured at this dose"
        elif not is_judged(own.loc[[label]]).iloc[0]:
            has_iou = own.loc[label, "iou_before"] > 0
            other = "its latents change nothing" if has_iou else NOTHING_TO_LOSE
            why = own.loc[label, "note"] or other
        else:
            continue
        reasons.setdefault(why, []).append(label)
    return reasons


def explain_columns(dose: float) -> dict[str, str]:
    """What does each column mean? By name, for both tables."""
    ceiling = EDITS[CEILING]
    return {
        "Edit": (
            "what is added to every patch. Its latents: the class's latents are "
            f"{describe_dose(dose)}, while what the SAE does not reconstruct stays. "
            "All other edits have, on each patch, exactly the same length: "
            f"{EDITS['random_latents']} and {EDITS['random_directions']} point "
            f"elsewhere, {EDITS['other_class']} are those of a class drawn at random, "
            f"and the {ceiling} lowers the probe's evidence for the class as straight "
            "as can be. That is the steepest way to harm the class, not the one that "
            "spares the others most: a yardstick, which latents can exceed."
        ),
        "Loss": "IoU of the class before the edit less IoU after it.",
        "Collateral": (
            "the same for the mean IoU over all other classes that the validation "
            "images show."
        ),
        "Specificity": (
            "loss − collateral: 0 where an edit harms all alike. In brackets its "
            f"{LEVEL} % interval."
        ),
        "Margin": (
            "specificity of the latents less that of the control, class by class, then "
            "the mean."
        ),
        "Win rate": (
            "the share of classes in which the latents are more specific than the "
            "control, ties counting half, and how many classes these are of."
        ),
        "Surely more, less": (
            "the classes in which the interval of the margin lies above 0, or below it."
        ),
        "Edit norm": (
            "the length of the edit as a share of the length of the activations, both "
            "means over patches."
        ),
        "Latents, AP, Alignment": (
            "the suppressed latents; how well each ranks training patches of the class "
            "above others; the cosine of its decoder row with the probe's class "
            "direction."
        ),
        "IoU, Others' mIoU": "before → after suppression of the class's latents.",
        "Changed, Others changed": (
            "percent of the class's patches, and of all other labelled patches, whose "
            "predicted class changes."
        ),
        "Changes to": (
            "what the class's changed patches are taken for, in percent of them; the "
            "three most frequent."
        ),
    }


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
