"""What a reader of the tables of suppression must know.

What doses, columns, controls and intervals mean, and which classes are left out.
"""

from vitproto.core.confidence import LEVEL, SIGNIFICANT
from vitproto.report.segmentation.class_names import list_classes
from vitproto.report.segmentation.suppression_phrases import NEARLY_ALL, is_or_are
from vitproto.report.segmentation.suppression_rows import (
    CEILING,
    EDITS,
    OWN,
    Suppression,
    is_judged,
)
from vitproto.report.shared.wording import CONTROL_BADGE, with_capital, write_plain
from vitproto.segmentation.suppression.terms import (
    LEAST_CLASSES,
    LEAST_IMAGES,
    LEAST_IOU,
)

NOTHING_TO_LOSE = "it has next to nothing to lose"


def describe_dose(dose: float) -> str:
    """Name what a dose does to latents: `set to zero`, `set to −2 times …`."""
    if dose > 0:
        return f"set to {dose:g} times their value"
    if dose == 0:
        return "set to zero"
    return f"set to {write_plain(dose)} times their largest observed value"


def explain_intervals() -> str:
    """Explain how the intervals are made, and what they leave out."""
    return (
        f"In the summary and in comparisons, {LEVEL} % intervals are over classes, "
        "images and draws of random controls (Student's t with two-way clusters; their "
        f"coverage was simulated). Over fewer than {LEAST_CLASSES} classes there is "
        "neither interval nor verdict. In the tables of classes they are over images "
        f"and draws, and classes that fewer than {LEAST_IMAGES} images show have none. "
        "Each interval is for a single comparison, and among many a few exclude 0 by "
        f"chance. Verdicts need a p-value below {SIGNIFICANT:g}, corrected by Holm's "
        "method in three families: all margins over controls at equal length, all "
        "leads at this length, and all leads at half loss. No interval shows what "
        "another seed of the SAE or of the probe would change."
    )


def explain_controls() -> str:
    """Explain why controls can be specific to a class."""
    return (
        "Controls can be specific too, even random directions: they have the length of "
        "the latents' edit on each patch, which is usually longest where the class's "
        "latents are active, and so may harm the class most in any direction. The "
        "margin shows what the direction adds."
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
    return (
        f"{sae}: {n_missing} of {n_all} classes could not be judged and "
        f"{is_or_are(n_missing)} left out of all means and win rates. "
        f"{'. '.join(map(with_capital, named))}."
    )


def list_unjudged(
    suppression: Suppression, sae: str, dose: float
) -> dict[str, list[int]]:
    """List the labels of the classes that could not be judged, by reason."""
    rows = suppression.rows
    rows = rows[(rows["sae"] == sae) & (rows["edit"] == OWN)]
    # Means take classes that any dose changes.
    judged = set(rows.loc[is_judged(rows), "label"])
    own = rows[rows["dose"] == dose].set_index("label")
    reasons: dict[str, list[int]] = {}
    for label in suppression.class_names:
        if label not in own.index:
            why = "not measured at this dose"
        elif label not in judged:
            can_lose = own.loc[label, "iou_before"] >= LEAST_IOU
            other = "its latents change nothing" if can_lose else NOTHING_TO_LOSE
            why = own.loc[label, "note"] or other
        else:
            continue
        reasons.setdefault(why, []).append(label)
    return reasons


def explain_suppression_columns(dose: float) -> dict[str, str]:
    """Explain the columns of all tables, by name."""
    return {
        "SAE": f"{CONTROL_BADGE} marks an SAE that nothing has trained.",
        "Edit": (
            "what is added to every patch. Its latents: the class's latents are made "
            "smaller, set to zero, or to a negative multiple of their largest value, "
            "and the part of the activations that the SAE does not reconstruct stays. "
            "All other edits have exactly the same length on each patch: "
            f"{EDITS['random_latents']}, latents that are active about as often as "
            "those of the class, and "
            f"{EDITS['random_directions']} point elsewhere, {EDITS['other_class']} are "
            f"those of a class drawn at random, and the {EDITS[CEILING]} lowers the "
            "probe's evidence for the class most steeply. It is the steepest way to "
            "harm the class, but not the one that spares the others most: a yardstick, "
            "which latents can exceed."
        ),
        "Length": (
            "the mean length of the edits as a share of that of the activations. All "
            "numbers are read off each class's curve through its doses, at this "
            "length. SAEs of a layer are compared at the shortest by which half of the "
            "classes have lost half of their IoU with half of the SAEs, rounded up to "
            "two digits, or else at the longest that all classes reach."
        ),
        "Loss": (
            "the share of its IoU that the class loses, 1 if it is gone. A gain counts "
            "as a share of the IoU after the edit, and is −1 at most."
        ),
        "Collateral": (
            "the mean loss of all other classes that are judged: their latents were "
            f"edited, and their IoU is at least {LEAST_IOU:g} on the validation images "
            "before any edit."
        ),
        "Specificity": (
            "loss − collateral, which is 0 on average over classes if the same edit is "
            "made for each. Edits that differ only in their places, such as random "
            "directions, can have another: compare them with the margin, or the net "
            f"lead. The {LEVEL} % interval is in brackets."
        ),
        "Margin": (
            "specificity of the latents minus that of the control, for each class, "
            "then the mean. In tables of classes, the control is "
            f"{EDITS['frequent_latents']}."
        ),
        "Win rate": (
            "the share of classes in which the latents are more specific than the "
            "control, with ties counting half, and the number of classes compared."
        ),
        "p": ("the p-value of no margin, corrected over all SAEs and controls (Holm)."),
        "Above, below 0": (
            "the classes in which the interval of the margin, over images and draws, "
            "is above 0, or below it; each for itself, not corrected."
        ),
        "Out of reach": (
            "classes whose longest edit is shorter, or that never lose half."
        ),
        "Gone": f"classes that have lost at least {NEARLY_ALL} of their IoU there.",
        "Lead, p": (
            "specificity of the trained SAE's latents minus that of the latents of the "
            "untrained SAE of the same layer and number of latents, paired by class "
            "(at half loss: collateral with the untrained SAE minus that with the "
            "trained one); the p-value of no lead, corrected over the SAEs (Holm), at "
            "the chosen length and at half loss."
        ),
        "Net lead": (
            "the lead of margins over random directions, instead of specificities: "
            "these have the lengths of the latents' edits on the same patches, so it "
            "leaves what the directions of the edits do, and not their places. Its p "
            "is corrected in a family of its own (Holm)."
        ),
        "Latents, AP, Alignment": (
            "the suppressed latents; how well each ranks training patches of the class "
            "above others; the cosine of its decoder row with the probe's class "
            "direction."
        ),
        "IoU, Others' mIoU": (
            f"before → after suppression, with latents {describe_dose(dose)}."
        ),
        "Changed, Others changed": (
            "percent of the class's patches, and of all other labelled patches, whose "
            "predicted class changes."
        ),
        "Changes to": (
            "the three classes that the class's changed patches are most often "
            "predicted as, in percent of the changed patches."
        ),
    }
