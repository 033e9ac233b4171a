"""The tables of suppression as Markdown, with what their columns mean."""

from collections.abc import Mapping, Sequence

import pandas as pd

from vitproto.report.segmentation.class_names import short_name
from vitproto.report.segmentation.suppression_links import PictureLink
from vitproto.report.segmentation.suppression_rows import EDITS, OWN, Suppression
from vitproto.report.segmentation.suppression_text import (
    HEADING,
    describe_dose,
    explain_intervals,
    explain_suppression_columns,
    write_answers,
    write_unjudged,
)
from vitproto.report.shared.markdown import TextTable, list_meanings, write_markdown
from vitproto.report.shared.wording import (
    NOTHING,
    write_number,
    write_share,
    write_with_interval,
)

SUMMARY_COLUMNS = {
    "SAE": "<",
    "Edit": "<",
    "Classes": ">",
    "Edit norm": ">",
    "Loss": "<",
    "Collateral": "<",
    "Specificity": "<",
    "Margin": "<",
    "Win rate": "<",
    "Clearly more, less": "<",
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

MARGIN_OVER = "random_latents"
"""The control whose margin is in the table of classes."""

LEAST_SHARE = 0.005
"""Smallest share that is not 0 when rounded to percent."""
N_CHANGES = 3
"""The number of classes that are named as what a class changes to."""


def write_suppression_table(
    suppression: Suppression,
    summary: pd.DataFrame,
    dose: float,
    charts: Mapping[str, str],
    pictures: Sequence[PictureLink],
) -> str:
    """Write the text of `suppression_table.md`.

    Args:
        suppression: the results of `read_suppression`.
        summary: the rows of `summarise`.
        dose: the dose that the tables show.
        charts: the address of each chart, by what it shows.
        pictures: the pictures to link to.
    """
    by_class = []
    for sae, place in suppression.places.items():
        links = [_link(picture) for picture in pictures if picture.place == place]
        by_class += [
            f"## Class by class: {sae}",
            show_classes(suppression, sae, dose),
            *([f"Pictures: {', '.join(links)}."] if links else []),
        ]
    links = [f"[{name}]({href})" for name, href in charts.items()]
    return write_markdown(
        f"# {HEADING}",
        *write_answers(suppression, summary, dose),
        f"## Summary: latents {describe_dose(dose)}",
        show_summary(summary, dose),
        explain_intervals(),
        [write_unjudged(suppression, sae, dose) for sae in suppression.saes],
        *([f"Charts: {', '.join(links)}."] if links else []),
        *by_class,
        "## What the columns mean",
        list_meanings(explain_suppression_columns(dose)),
    )


def show_summary(summary: pd.DataFrame, dose: float) -> TextTable:
    """Format the summary at one dose, with a row for each SAE and edit."""
    at_dose = summary[summary["dose"] == dose]
    return TextTable(
        SUMMARY_COLUMNS, [_format_summary(row) for _, row in at_dose.iterrows()]
    )


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
    cells = [
        row["sae"],
        EDITS[row["edit"]],
        str(row["n_classes"]),
        write_number(row["edit_norm"]),
        *(_with_interval(row, name) for name in ("loss", "collateral", "specificity")),
    ]
    if row["edit"] == OWN or not row["n_compared"]:
        return [*cells, NOTHING, NOTHING, NOTHING]
    n = row["n_compared"]
    return [
        *cells,
        _with_interval(row, "margin"),
        f"{write_share(row['win_rate'])} % of {n}",
        f"{row['n_above']}, {row['n_below']}",
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


def _link(picture: PictureLink) -> str:
    name = f"{picture.label} {picture.class_name}"
    return f"[{name}]({picture.href})" if picture.href else f"{name} ({picture.note})"
