"""The results of suppression, in words."""

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
    Mean,
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
HEADING = "Do a class's latents matter more to it than other edits?"


def describe_dose(dose: float) -> str:
    """Name what a dose does to latents: `set to zero`, `set to −2 times …`."""
    if dose == 0:
        return "set to zero"
    return f"set to {write_plain(dose)} times their largest observed value"


def write_answers(
    suppression: Suppression, summary: pd.DataFrame, dose: float
) -> list[str]:
    """Say whether latents matter more than edits of the same length, and who wins.

    Args:
        suppression: the results of `read_suppression`.
        summary: the rows of `summarise`.
        dose: the dose at which SAEs and edits are compared.

    Returns:
        The answer in a sentence, a paragraph for each SAE, and, for several SAEs, a
        paragraph that says which is best.
    """
    verdicts = [
        write_verdict(sae, suppression, summary[summary["sae"] == sae], dose)
        for sae in suppression.saes
    ]
    if len(suppression.saes) > 1:
        verdicts.append(write_best_sae(suppression, dose))
    return [write_answer(suppression, summary, dose), *verdicts]


def write_answer(suppression: Suppression, summary: pd.DataFrame, dose: float) -> str:
    """Name the SAEs whose latents matter more than all controls."""
    own, other = "their class", "equally long edits in other directions"
    winners, n_judged = [], 0
    for sae in suppression.saes:
        at_dose = _at_dose(summary[summary["sae"] == sae], dose)
        compared = _compared(at_dose)
        n_judged += bool(compared)
        if compared and all(_is_won(row) for _, row in compared):
            winners.append(sae)
    if not n_judged:
        return (
            "No conclusion: no class could be compared with edits in other directions."
        )
    n_saes = len(suppression.saes)
    if not winners:
        whose = suppression.saes[0] if n_saes == 1 else f"none of {n_saes} SAEs"
        does = "do not matter" if n_saes == 1 else "matter"
        return (
            f"Not clearly: the latents of {whose} {does} more to {own} than all kinds "
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
    sae: str, suppression: Suppression, summary: pd.DataFrame, dose: float
) -> str:
    """Say whether the latents of an SAE matter more to their class than controls."""
    at_dose = _at_dose(summary, dose)
    n_judged = int(at_dose["n_classes"].get(OWN, 0))
    begin = f"With the latents of {sae} {describe_dose(dose)},"
    if not n_judged:
        return f"{begin} no class could be judged."
    own = at_dose.loc[OWN]
    over = (
        "in the only class that could be judged"
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
        _compare_with_ceiling(suppression, sae, dose),
    ]
    return " ".join(filter(None, sentences))


def _at_dose(summary: pd.DataFrame, dose: float) -> pd.DataFrame:
    return summary[summary["dose"] == dose].set_index("edit")


def _compared(at_dose: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """List the controls that are compared with latents in some class, with rows."""
    return [
        (edit, at_dose.loc[edit])
        for edit in CONTROLS
        if edit in at_dose.index and at_dose.loc[edit, "n_compared"]
    ]


def _is_won(row: pd.Series) -> bool:
    """Whether the interval is above 0, to the decimals that are printed."""
    return bool(round(row["margin_low"], DECIMALS) > 0)


def _judge(at_dose: pd.DataFrame) -> str:
    """Name the controls against which latents win, lose, or neither."""
    compared = _compared(at_dose)
    if not compared:
        return "there is no control to compare them with."
    won = [pair for pair in compared if _is_won(pair[1])]
    lost = [pair for pair in compared if round(pair[1]["margin_high"], DECIMALS) < 0]
    decided = [edit for edit, _ in won + lost]
    close = [pair for pair in compared if pair[0] not in decided]
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
    begin = "" if decided else "nobody wins: "
    return f"{begin}they {'; they '.join(clauses)}."


def _name_margins(pairs: list[tuple[str, pd.Series]]) -> str:
    """`random latents (margin 0.100, 95 % interval 0.050 to 0.150) and …`."""
    named = []
    for i, (edit, row) in enumerate(pairs):
        label = "margin " if i == 0 else ""
        level = f"{LEVEL} % interval " if i == 0 else ""
        interval = write_interval(row["margin_low"], row["margin_high"], "class")
        named.append(
            f"{EDITS[edit]} ({label}{write_number(row['margin'])}, {level}{interval})"
        )
    return join_names(named)


def _level(own: pd.Series) -> str:
    """The interval of the specificity, and whether it excludes 0."""
    if math.isnan(own["specificity_low"]):
        return "."
    interval = write_interval(own["specificity_low"], own["specificity_high"], "class")
    shown = f" ({LEVEL} % interval {interval})"
    if round(own["specificity_high"], DECIMALS) < 0:
        return f"{shown}: they harm the others more than their class."
    if round(own["specificity_low"], DECIMALS) <= 0:
        return f"{shown}, which is not clearly above 0."
    return f"{shown}."


def _write_length(edit_norm: float) -> str:
    """Say how long the edits are; warn if they are longer than the activations."""
    if edit_norm < 1:
        return (
            f"All edits are {write_share(edit_norm)} % as long as the activations, on "
            "average."
        )
    return (
        f"All edits are {write_number(edit_norm, 1)} times as long as the activations, "
        "on average: activations edited this much are far from those of any image, and "
        "weaker doses are more informative."
    )


def _compare_with_ceiling(suppression: Suppression, sae: str, dose: float) -> str:
    own, ceiling = share_of_ceiling(suppression, sae, dose)
    if math.isnan(ceiling):
        return ""
    begin = (
        "An edit of the same length along the probe's own class direction, the "
        f"ceiling, has a specificity of {write_number(ceiling)}"
    )
    if round(ceiling, DECIMALS) <= 0:
        return f"{begin}: at this length not even the ceiling is specific to the class."
    if own >= ceiling:
        return f"{begin}: the latents reach all of it."
    if round(own, DECIMALS) <= 0:
        return f"{begin}: the latents reach none of it."
    return f"{begin}: the latents reach {write_share(own / ceiling)} % of it."


def write_best_sae(suppression: Suppression, dose: float) -> str:
    """Say which SAE has the most specific latents, or that none clearly has."""
    ranks = rank_saes(suppression, dose)
    if not ranks:
        return "No class could be judged with all SAEs, so they cannot be compared."
    best, *others = ranks
    n = best.below.n_classes
    classes = "the class" if n == 1 else f"the {n} classes"
    begin = f"Of the SAEs, over {classes} that could be judged with all of them,"
    close = [rank for rank in others if not rank.is_worse]
    caution = "Their edits may differ in length: compare the column Edit norm."
    if not close:
        second = others[0]
        return (
            f"{begin} {best.sae} wins: specificity {write_number(best.specificity)}, "
            f"{write_number(second.below.value)} more than the next, {second.sae} "
            f"({LEVEL} % interval "
            f"{_interval(second.below)}). {caution}"
        )
    named = [
        f"{rank.sae} ({write_number(rank.specificity)}; lead "
        f"{write_number(rank.below.value)}, {LEVEL} % interval "
        f"{_interval(rank.below)})"
        for rank in close
    ]
    return (
        f"{begin} nobody wins: {best.sae} has the highest specificity, "
        f"{write_number(best.specificity)}, but cannot be told apart from "
        f"{join_names(named)}. {caution}"
    )


def _interval(mean: Mean) -> str:
    return write_interval(mean.low, mean.high, "class")


def explain_intervals() -> str:
    """Explain how the intervals are made, and what they leave out."""
    return (
        f"In the summary, intervals are percentiles of {N_RESAMPLES:,} bootstrap "
        "resamples of the classes; in the tables of classes, of the images. The "
        f"latents win if the {LEVEL} % interval of their margin is above 0. Each "
        "interval is for a single comparison; among many, a few exclude 0 by chance. "
        "None of them shows what another seed of the SAE or of the probe would change."
    )


def write_unjudged(suppression: Suppression, sae: str, dose: float) -> str:
    """Name the classes that could not be judged with an SAE, and the reasons."""
    reasons = list_unjudged(suppression, sae, dose)
    n_all = len(suppression.class_names)
    if not reasons:
        return f"{sae}: all {n_all} classes could be judged."
    n_missing = sum(len(labels) for labels in reasons.values())
    named = [
        f"{why}: "
        + list_classes((label, suppression.class_names[label]) for label in labels)
        for why, labels in reasons.items()
    ]
    verb = "is" if n_missing == 1 else "are"
    return (
        f"{sae}: {n_missing} of {n_all} classes could not be judged and {verb} left "
        f"out of all means and win rates. {'. '.join(map(_capital, named))}."
    )


def list_unjudged(
    suppression: Suppression, sae: str, dose: float
) -> dict[str, list[int]]:
    """List the labels of the classes that could not be judged, by reason."""
    own = suppression.rows[
        (suppression.rows["sae"] == sae)
        & (suppression.rows["dose"] == dose)
        & (suppression.rows["edit"] == OWN)
    ].set_index("label")
    reasons: dict[str, list[int]] = {}
    for label in suppression.class_names:
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


def explain_suppression_columns(dose: float) -> dict[str, str]:
    """Explain the columns of both tables, by name."""
    return {
        "Edit": (
            "what is added to every patch. Its latents: the class's latents are "
            f"{describe_dose(dose)}, and the part of the activations that the SAE does "
            "not reconstruct stays. All other edits have exactly the same length on "
            f"each patch: {EDITS['random_latents']} and {EDITS['random_directions']} "
            f"point elsewhere, {EDITS['other_class']} are those of a class drawn at "
            f"random, and the {EDITS[CEILING]} lowers the probe's evidence for the "
            "class most steeply. It is the steepest way to harm the class, but not the "
            "one that spares the others most: a yardstick, which latents can exceed."
        ),
        "Loss": "IoU of the class before the edit minus IoU after it.",
        "Collateral": (
            "the same for the mean IoU over all other classes that the validation "
            "images show."
        ),
        "Specificity": (
            "loss − collateral, which is 0 if the class loses as much as the others do "
            f"on average. Its {LEVEL} % interval is in brackets."
        ),
        "Margin": (
            "specificity of the latents minus that of the control, for each class, "
            "then the mean."
        ),
        "Win rate": (
            "the share of classes in which the latents are more specific than the "
            "control, with ties counting half, and the number of classes compared."
        ),
        "Clearly more, less": (
            "the classes in which the interval of the margin is above 0, or below it."
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
            "the three classes that the class's changed patches are most often "
            "predicted as, in percent of the changed patches."
        ),
    }


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
