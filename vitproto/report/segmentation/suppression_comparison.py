"""Whether latents of trained SAEs are more specific to their class than untrained ones.

Paragraphs that compare each trained SAE with its untrained control: at the edit length
chosen for it, at other lengths, and where classes have lost half of their IoU.
"""

import math

import pandas as pd

from vitproto.core.confidence import LEVEL
from vitproto.report.segmentation.suppression_phrases import (
    NEARLY_ALL,
    count_classes,
    find_verdict,
    write_length,
    write_with_level,
)
from vitproto.report.segmentation.suppression_rows import (
    AT_HALF,
    AT_LENGTH,
    OWN,
    Suppression,
)
from vitproto.report.shared.wording import (
    join_names,
    with_capital,
    write_measure,
    write_p,
    write_plain,
)
from vitproto.segmentation.suppression.terms import LEAST_CLASSES


def write_comparison(suppression: Suppression) -> list[str]:
    """Compare trained SAEs with untrained ones, at the length chosen for it.

    Returns:
        The comparison, and a paragraph on what it holds for, if there is one.
    """
    rows = _main_rows(suppression.comparison, AT_LENGTH)
    known = rows[(rows["n_controls"] > 0) & (rows["n_classes"] > 0)]
    if known.empty:
        return [
            "No conclusion about training: no trained SAE has an untrained one of the "
            "same layer and number of latents to compare it with, in any class."
        ]
    control = _name_control(known)
    verbs = {
        1: f"are more specific to their class than those of {control}",
        -1: f"are less specific to their class than those of {control}",
        0: f"cannot be told apart from those of {control}",
    }
    clauses = [
        f"the latents of {join_names(names)} {verbs[verdict]}"
        for verdict, names in _by_verdict(known, "lead").items()
    ]
    text = f"At equal edit length, {'; '.join(clauses)}." if clauses else ""
    first = [
        text,
        _write_too_few(known),
        "The lead is the difference in specificity, paired by class"
        + _write_family(known),
        _write_net(known, control),
        *_write_lacking(rows),
    ]
    second = [
        "Each SAE is a single fit, and one probe reads it: this is about these SAEs, "
        "not about their kinds, and no interval shows what another seed of the SAE or "
        "of the probe would change.",
        _write_lengths(suppression, known),
        _write_left_out(known, "an edit of this length is out of reach"),
        _write_before_first(known),
        _write_gone(known),
    ]
    return [" ".join(filter(None, sentences)) for sentences in (first, second)]


def _write_net(known: pd.DataFrame, control: str) -> str:
    """Say what is left of leads without what any edit in the same place does."""
    verbs = {
        1: f"are more specific than those of {control}",
        -1: f"are less specific than those of {control}",
        0: f"cannot be told apart from those of {control}",
    }
    clauses = [
        f"the latents of {join_names(names)} {verbs[verdict]}"
        for verdict, names in _by_verdict(known, "net lead", "net_lead").items()
    ]
    if not clauses:
        return ""
    return (
        "An edit harms its class also because of the patches that it changes: less the "
        "specificity of random directions of the same length on the same patches, "
        f"{'; '.join(clauses)}."
    )


def _write_lacking(rows: pd.DataFrame) -> list[str]:
    """Name the SAEs that no untrained one is compared with."""
    sentences = []
    for missing, why in (
        (
            rows["n_controls"] == 0,
            "no untrained SAE of the same layer and number of latents",
        ),
        (
            (rows["n_controls"] > 0) & (rows["n_classes"] == 0),
            "no class that could be compared with an untrained SAE at this length",
        ),
    ):
        if lacking := rows.loc[missing, "sae"].tolist():
            have = "has" if len(lacking) == 1 else "have"
            sentences.append(
                f"{join_names(lacking)} {have} {why}, so nothing shows what training "
                "adds there."
            )
    return sentences


def write_other_lengths(comparison: pd.DataFrame) -> list[str]:
    """Say at which lengths trained SAEs are ahead of untrained ones; may be empty."""
    rows = comparison[(comparison["at"] == AT_LENGTH) & (comparison["n_classes"] > 0)]
    texts = []
    for sae, of_sae in rows.groupby("sae", sort=False):
        if len(of_sae) < 2:
            continue
        of_sae = of_sae.sort_values("length")
        text = (
            f"{sae} {_name_lengths(of_sae, 'lead')} (read at {len(of_sae)} lengths; "
            f"leads between {_name_ends(of_sae['lead'])})"
        )
        net = of_sae[of_sae["net_lead"].notna()]
        if len(net):
            text += (
                ", and less random directions of the same length on the same patches "
                f"it {_name_lengths(net, 'net_lead')} (net leads between "
                f"{_name_ends(net['net_lead'])})"
            )
        texts.append(text)
    if not texts:
        return []
    return [
        f"Length by length, with {LEVEL} % intervals that are not corrected for the "
        f"number of comparisons, {'; '.join(texts)}."
    ]


def _name_lengths(rows: pd.DataFrame, name: str) -> str:
    """Say at which lengths an SAE is ahead, behind, and not told apart."""
    low, high = rows[f"{name}_low"], rows[f"{name}_high"]
    control = _name_control(rows)
    where = {
        f"is ahead of {control}": low > 0,
        f"is behind {control}": high < 0,
        f"cannot be told apart from {control}": (low <= 0) & (high >= 0),
        "has too few classes for an interval": low.isna(),
    }
    return join_names(
        [
            f"{words} {_name_runs(rows['length'], is_there)}"
            f"{_write_mostly_gone(rows[is_there])}"
            for words, is_there in where.items()
            if is_there.any()
        ]
    )


def _name_ends(leads: pd.Series) -> str:
    return f"{write_measure(leads.min())} and {write_measure(leads.max())}"


def _write_mostly_gone(rows: pd.DataFrame) -> str:
    """Say where at least half of the classes are gone with both SAEs."""
    gone = rows[2 * rows["n_gone"] >= rows["n_classes"]]
    if gone.empty:
        return ""
    low, high = int(gone["n_gone"].min()), int(gone["n_gone"].max())
    n_gone = str(low) if low == high else f"{low} to {high}"
    where = "there"
    if len(gone) < len(rows):
        where = f"at {join_names([write_plain(length) for length in gone['length']])}"
    n_classes = count_classes(rows["n_classes"].max())
    saes = "both SAEs" if (rows["n_controls"] == 1).all() else "all these SAEs"
    return f" ({where}, {n_gone} of {n_classes} are gone with {saes})"


def _name_runs(lengths: pd.Series, is_there: pd.Series) -> str:
    """Name some of the lengths that were read: `from 0.1 to 0.4 and at 1.2`."""
    numbers, there = lengths.tolist(), is_there.tolist()
    runs: list[list[float]] = []
    for i, length in enumerate(numbers):
        if there[i]:
            if i == 0 or not there[i - 1]:
                runs.append([])
            runs[-1].append(length)
    return join_names(
        [
            f"from {write_plain(run[0])} to {write_plain(run[-1])}"
            if len(run) > 1
            else f"at {write_plain(run[0])}"
            for run in runs
        ]
    )


def write_comparison_at_half(comparison: pd.DataFrame) -> list[str]:
    """Compare collateral where classes have lost half of their IoU; may be empty."""
    rows = _main_rows(comparison, AT_HALF)
    known = rows[(rows["n_controls"] > 0) & (rows["n_classes"] > 0)]
    if known.empty:
        return []
    control = _name_control(known)
    wordings = {
        1: f"the others lose less with the latents of {{}} than with those of "
        f"{control}",
        -1: f"the others lose more with the latents of {{}} than with those of "
        f"{control}",
        0: f"what the others lose with the latents of {{}} cannot be told apart from "
        f"what they lose with those of {control}",
    }
    clauses = [
        wordings[verdict].format(join_names(names))
        for verdict, names in _by_verdict(known, "difference").items()
    ]
    begin = "Where the class has lost half of its IoU, "
    sentences = [
        f"{begin}{'; '.join(clauses)}." if clauses else "",
        _write_too_few(known, "" if clauses else begin),
        "The difference is the mean loss of the others with the control minus that "
        "with the trained SAE, paired by class" + _write_family(known),
        _write_left_out(known, "half is never lost with one of the SAEs"),
        _write_before_first(known),
    ]
    return [" ".join(filter(None, sentences))]


def _main_rows(comparison: pd.DataFrame, at: str) -> pd.DataFrame:
    return comparison[(comparison["at"] == at) & comparison["is_main"]]


def _name_control(rows: pd.DataFrame) -> str:
    if (rows["n_controls"] == 1).all():
        return "the untrained control"
    return "the untrained controls (their mean)"


def _by_verdict(
    rows: pd.DataFrame, called: str, name: str = "lead"
) -> dict[int, list[str]]:
    """Name SAEs with their leads by verdict: 1 more, -1 less, 0 not told apart."""
    by_verdict: dict[int, list[str]] = {}
    p = "p" if name == "lead" else "net_p"
    for verdict in (1, -1, 0):
        named = [
            f"{row['sae']} ({called} {write_with_level(row, name)}, "
            f"{write_p(row[p])}, {count_classes(row['n_classes'])})"
            for _, row in rows.iterrows()
            if not math.isnan(row[p]) and find_verdict(row[name], row[p]) == verdict
        ]
        if named:
            by_verdict[verdict] = named
    return by_verdict


def _write_family(rows: pd.DataFrame) -> str:
    n = int(rows["p"].notna().sum())
    return (
        f"; p-values are corrected for these {n} comparisons (Holm)." * (n > 1) or "."
    )


def _write_too_few(rows: pd.DataFrame, begin: str = "") -> str:
    """Name the SAEs that are compared in too few classes for a verdict."""
    few = [
        f"{row['sae']} ({write_measure(row['lead'])} over "
        f"{count_classes(row['n_classes'])})"
        for _, row in rows.iterrows()
        if math.isnan(row["p"])
    ]
    if not few:
        return ""
    text = f"{begin}there is no verdict on {join_names(few)}"
    return f"{with_capital(text)}: fewer than {LEAST_CLASSES} classes have no interval."


def _write_lengths(suppression: Suppression, known: pd.DataFrame) -> str:
    """Name the lengths, and count the classes that are half gone there."""
    own = suppression.at(AT_LENGTH)
    own = own[(own["edit"] == OWN) & (own["n_classes"] > 0)]
    layer = ["encoder", "probe_layer", "layer"]
    sentences = []
    for place, _ in known.groupby(layer):
        here = own[(own[layer] == list(place)).all(axis=1)]
        if here.empty:
            continue
        counts = [
            f"{row['n_half']} of {count_classes(row['n_classes'])} with {row['sae']}"
            for _, row in here.iterrows()
        ]
        where = f"layer {place[2]}"
        if known["encoder"].nunique() > 1:
            where += f" of {place[0]}"
        sentences.append(
            f"In {where} the edits are {write_length(here['length'].iloc[0])}, a "
            "length chosen on the same images. There at least half of the IoU is lost "
            f"by {join_names(counts)}."
        )
        is_half = 2 * here["n_half"] >= here["n_classes"] + here["n_unreached"]
        if 2 * is_half.sum() < len(here):
            sentences.append(
                "So with most of these SAEs fewer than half of the classes have lost "
                f"half of their IoU there{_write_longest(suppression, here)}."
            )
    return " ".join(sentences)


def _write_longest(suppression: Suppression, own: pd.DataFrame) -> str:
    """Say if the latents' edits are read at no greater length."""
    curves = suppression.summary
    curves = curves[(curves["at"] == AT_LENGTH) & curves["sae"].isin(own["sae"])]
    shortest = curves.groupby("sae")["length"].max().min()
    is_longest = shortest == own["length"].iloc[0] and not own["n_unreached"].any()
    return ", the longest edits that all classes reach" if is_longest else ""


def _write_left_out(rows: pd.DataFrame, why: str) -> str:
    named = _name_counts(rows, "n_unreached")
    return f"Left out because {why}: {named}." if named else ""


def _write_before_first(rows: pd.DataFrame) -> str:
    named = _name_counts(rows, "n_before_first")
    if not named:
        return ""
    return (
        "Shorter than any edit that was measured with the SAE or with its control, and "
        f"so read off a straight line from no edit: {named}. No interval knows how far "
        "the curve is from that line."
    )


def _write_gone(rows: pd.DataFrame) -> str:
    named = _name_counts(rows, "n_gone")
    if not named:
        return ""
    return (
        f"Saturated, with at least {NEARLY_ALL} of the IoU lost with the SAE and with "
        f"its control: {named}."
    )


def _name_counts(rows: pd.DataFrame, column: str) -> str:
    """Name how many classes of each SAE a column counts, if there are any."""
    return ", ".join(
        f"{count_classes(row[column])} of {row['sae']}"
        for _, row in rows.iterrows()
        if row[column]
    )
