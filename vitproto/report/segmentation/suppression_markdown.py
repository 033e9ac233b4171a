"""The tables of suppression as Markdown, with what their columns mean."""

from collections.abc import Mapping, Sequence

import pandas as pd

from vitproto.report.segmentation.class_names import short_name
from vitproto.report.segmentation.suppression_answers import HEADING, write_answers
from vitproto.report.segmentation.suppression_explanations import (
    describe_dose,
    explain_controls,
    explain_intervals,
    explain_suppression_columns,
    write_unjudged,
)
from vitproto.report.segmentation.suppression_links import PAGE, ClassPictures
from vitproto.report.segmentation.suppression_rows import (
    AT_HALF,
    AT_LENGTH,
    EDITS,
    OWN,
    Suppression,
)
from vitproto.report.shared.markdown import TextTable, list_meanings, write_markdown
from vitproto.report.shared.wording import (
    NOTHING,
    write_number,
    write_p_cell,
    write_plain,
    write_share,
    write_with_interval,
)

COMPARISON_COLUMNS = {
    "SAE": "<",
    "Compared": "<",
    "Classes": ">",
    "Out of reach": ">",
    "Gone": ">",
    "Lead": "<",
    "p": ">",
    "More, less specific": "<",
    "Net lead": "<",
    "p of net lead": ">",
}

SUMMARY_COLUMNS = {
    "SAE": "<",
    "Edit": "<",
    "Length": ">",
    "Specificity": "<",
    "Margin": "<",
    "p": ">",
    "Win rate": "<",
    "Above, below 0": "<",
    "Loss": "<",
    "Collateral": "<",
    "Classes": ">",
    "Out of reach": ">",
    "Gone": ">",
}

HALF_COLUMNS = {
    "SAE": "<",
    "Edit": "<",
    "Classes": ">",
    "Out of reach": ">",
    "Length": ">",
    "Collateral": "<",
    "Margin": "<",
}

CLASS_COLUMNS = {
    "Label": ">",
    "Class": "<",
    "Latents": "<",
    "AP": "<",
    "Alignment": "<",
    "IoU": "<",
    "Others' mIoU": "<",
    "Changed %": ">",
    "Others changed %": ">",
    "Changes to": "<",
    "Specificity": "<",
    "Margin": "<",
    "Note": "<",
}

MARGIN_OVER = "frequent_latents"
"""The control whose margin is in the table of classes."""

LEAST_SHARE = 0.005
"""Smallest share that is not 0 when rounded to percent."""
N_CHANGES = 3
"""The number of classes that are named as what a class changes to."""


def write_suppression_table(
    suppression: Suppression,
    dose: float,
    charts: Mapping[str, str],
    pictures: Sequence[ClassPictures],
) -> str:
    """Write the text of `suppression_table.md`.

    Args:
        suppression: the results of `read_suppression`.
        dose: the dose that tables of classes show.
        charts: the address of each chart, by what it shows.
        pictures: the pictures to link to.
    """
    by_class = []
    for sae, place in suppression.places.items():
        links = [_link(picture) for picture in pictures if picture.place == place]
        by_class += [
            f"## Class by class: {sae}, latents {describe_dose(dose)}",
            show_classes(suppression, sae, dose),
            *([f"Pictures: {', '.join(links)}."] if links else []),
        ]
    links = [f"[{name}]({href})" for name, href in charts.items()]
    return write_markdown(
        f"# {HEADING}",
        *write_answers(suppression),
        f"## {COMPARISON_HEADING}",
        show_comparison(suppression.comparison),
        f"## {SUMMARY_HEADING}",
        show_summary(suppression),
        f"## {HALF_HEADING}",
        show_half(suppression),
        explain_controls(),
        explain_intervals(),
        [write_unjudged(suppression, sae, dose) for sae in suppression.saes],
        *([f"Charts: {', '.join(links)}."] if links else []),
        *by_class,
        "## What the columns mean",
        list_meanings(explain_suppression_columns(dose)),
    )


COMPARISON_HEADING = "Trained and untrained SAEs"
SUMMARY_HEADING = "All edits, at equal length"
HALF_HEADING = "All edits, where the class has lost half of its IoU"


def show_comparison(comparison: pd.DataFrame) -> TextTable:
    """Format the comparison with untrained SAEs, with a row for each SAE and point.

    The chosen length is marked.
    """
    rows = []
    for _, row in comparison.iterrows():
        compared = "at half loss"
        if row["at"] == AT_LENGTH:
            compared = f"at length {write_plain(row['length'])}"
            compared += " (chosen)" if row["is_main"] else ""
        cells = [row["sae"], compared, str(row["n_classes"]), str(row["n_unreached"])]
        if not row["n_controls"]:
            rows.append(
                [*cells[:2], *[NOTHING] * 3, "no untrained SAE", *[NOTHING] * 4]
            )
            continue
        rows.append(
            [
                *(*cells, str(row["n_gone"]), _with_interval(row, "lead")),
                write_p_cell(row["p"]),
                f"{row['n_more']}, {row['n_less']}",
                *(_with_interval(row, "net_lead"), write_p_cell(row["net_p"])),
            ]
        )
    return TextTable(COMPARISON_COLUMNS, rows)


def show_summary(suppression: Suppression) -> TextTable:
    """Format the summary at equal length, with a row for each SAE and edit."""
    rows = suppression.at(AT_LENGTH)
    return TextTable(
        SUMMARY_COLUMNS, [_format_summary(row) for _, row in rows.iterrows()]
    )


def show_half(suppression: Suppression) -> TextTable:
    """Format the summary where half of the IoU is lost."""
    rows = [
        [
            *(row["sae"], EDITS[row["edit"]], str(row["n_classes"])),
            *(str(row["n_unreached"]), write_number(row["length"])),
            *(_with_interval(row, name) for name in ("collateral", "margin")),
        ]
        for _, row in suppression.at(AT_HALF).iterrows()
    ]
    return TextTable(HALF_COLUMNS, rows)


def show_classes(suppression: Suppression, sae: str, dose: float) -> TextTable:
    """Format the results of an SAE at one dose, with a row for each class."""
    here = suppression.rows[
        (suppression.rows["sae"] == sae) & (suppression.rows["dose"] == dose)
    ]
    own = here[here["edit"] == OWN].set_index("label")
    control = here[here["edit"] == MARGIN_OVER].set_index("label")
    rows = []
    for label, name in suppression.class_names.items():
        if label not in own.index:
            blank = [NOTHING] * (len(CLASS_COLUMNS) - 3)
            rows.append([str(label), name, *blank, "not measured at this dose"])
            continue
        row = own.loc[label]
        ap, alignment = describe_latents(suppression, sae, label, row["latents"])
        notes = [row["note"]]
        margin = NOTHING
        if label in control.index:
            margin = _with_interval(control.loc[label], "margin")
            notes.append(control.loc[label, "note"])
        rows.append(
            [
                str(label),
                name,
                row["latents"] or NOTHING,
                ap,
                alignment,
                _before_after(row, "iou"),
                _before_after(row, "others_iou"),
                write_share(row["changed_class"]),
                write_share(row["changed_others"]),
                describe_changes(suppression, sae, label, dose),
                _with_interval(row, "specificity"),
                margin,
                _join_notes(notes),
            ]
        )
    return TextTable(CLASS_COLUMNS, rows)


def describe_latents(
    suppression: Suppression, sae: str, label: int, latents: str
) -> tuple[str, str]:
    """List AP and alignment of a class's latents, in the order of the latents."""
    own = suppression.latents[
        (suppression.latents["sae"] == sae) & (suppression.latents["label"] == label)
    ]
    own = own.dropna(subset="latent").drop_duplicates("latent").set_index("latent")
    numbers = {"ap": [], "alignment": []}
    for latent in map(int, latents.split()):
        for name, cells in numbers.items():
            value = own.loc[latent, name] if latent in own.index else float("nan")
            cells.append(write_number(float(value), 2))
    ap, alignment = (" ".join(cells) or NOTHING for cells in numbers.values())
    return ap, alignment


def describe_changes(
    suppression: Suppression, sae: str, label: int, dose: float
) -> str:
    """List what changed patches of a class are predicted as: `wall 60 %, sky 25 %`."""
    changes = suppression.changes
    own = changes[
        (changes["sae"] == sae)
        & (changes["label"] == label)
        & (changes["dose"] == dose)
        & (changes["share"] >= LEAST_SHARE)
    ]
    if own.empty:
        return NOTHING
    names = suppression.class_names
    first = own.head(N_CHANGES)
    return ", ".join(
        f"{short_name(names.get(to_label, f'label {to_label}'))} {100 * share:.0f} %"
        for to_label, share in zip(first["to_label"], first["share"], strict=True)
    )


def _format_summary(row: pd.Series) -> list[str]:
    margin = [NOTHING] * 4
    if row["edit"] != OWN and row["n_compared"]:
        margin = [
            *(_with_interval(row, "margin"), write_p_cell(row["margin_p"])),
            f"{write_share(row['win_rate'])} % of {row['n_compared']}",
            f"{row['n_above']}, {row['n_below']}",
        ]
    return [
        *(row["sae"], EDITS[row["edit"]], write_plain(row["length"])),
        *(_with_interval(row, "specificity"), *margin),
        *(_with_interval(row, name) for name in ("loss", "collateral")),
        *(str(row[name]) for name in ("n_classes", "n_unreached", "n_gone")),
    ]


def _with_interval(row: pd.Series, name: str) -> str:
    return write_with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _before_after(row: pd.Series, name: str) -> str:
    before, after = (row[f"{name}_{when}"] for when in ("before", "after"))
    if pd.isna(before) and pd.isna(after):
        return NOTHING
    return f"{write_number(before)} → {write_number(after)}"


def _join_notes(notes: Sequence[str]) -> str:
    """Join notes, each part once."""
    parts = [part for note in notes for part in note.split("; ") if part]
    return "; ".join(dict.fromkeys(parts))


def _link(shown: ClassPictures) -> str:
    name = f"{shown.label} {shown.class_name}"
    return (
        f"{name} ({shown.note})" if shown.note else f"[{name}]({PAGE}#{shown.anchor})"
    )
