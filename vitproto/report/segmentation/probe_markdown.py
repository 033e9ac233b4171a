"""The linear probes, in words and tables."""

import pandas as pd

from vitproto.report.segmentation.class_names import list_classes
from vitproto.report.segmentation.probe_table import is_shown
from vitproto.report.shared.markdown import (
    Section,
    TextTable,
    list_meanings,
    write_markdown,
    write_section,
)
from vitproto.report.shared.wording import join_names, write_number, write_plain

HEADING = "Linear probes"

SWEEP_COLUMNS = {
    "Rate": "<",
    "Decay": "<",
    "Held-out mIoU": ">",
    "mIoU": ">",
    "Pixel accuracy": ">",
    "Loss": ">",
}

CLASS_COLUMNS = {
    "Label": ">",
    "Class": "<",
    "Images": ">",
    "Pixels": ">",
    "IoU": ">",
    "Accuracy": ">",
    "Note": "<",
}

MEANINGS = {
    "Rate, Decay": (
        "the learning rate and the weight decay of AdamW; ‡ marks the chosen probe, "
        "the one with the highest held-out mIoU."
    ),
    "Held-out mIoU": (
        "the mean IoU over patches of training images that no probe learnt from."
    ),
    "mIoU": (
        "the mean IoU over the classes that the validation images show, each with the "
        "same weight."
    ),
    "Pixel accuracy": "the share of labelled pixels whose class is predicted.",
    "Loss": "mean cross-entropy over the last pass through the training patches.",
    "Images, Pixels": "the number of validation images and pixels that show the class.",
    "IoU": (
        "the pixels that show the class and are predicted as it, as a share of the "
        "labelled pixels that do either, over all validation images together, as the "
        "encoder sees them: resized to its input, and cropped where it crops."
    ),
    "Accuracy": "the share of the pixels of the class that are predicted as it.",
}
"""The meaning of each column, by name."""


def write_probe_table(probes: pd.DataFrame, classes: pd.DataFrame) -> str:
    """Write the text of `probe_table.md`.

    Args:
        probes: the rows of `read_probes`.
        classes: the rows of `read_baseline`.
    """
    tables = write_section(describe_probes(probes, classes))
    meanings = write_markdown("## What the columns mean", list_meanings(MEANINGS))
    return f"{tables}\n{meanings}"


def describe_probes(probes: pd.DataFrame, classes: pd.DataFrame) -> Section:
    """Show the probes as a section of the page."""
    paragraphs = [
        write_best_probe(probes, classes),
        write_choice_note(probes),
        write_missing_note(classes),
    ]
    tables = {
        "All probes of the sweep": show_sweep(probes),
        "The chosen probe, class by class": show_classes(classes),
    }
    return Section(HEADING, paragraphs, tables)


def write_best_probe(probes: pd.DataFrame, classes: pd.DataFrame) -> str:
    """Name the chosen probe, and say how well it segments."""
    best = probes.loc[probes["is_best"]].iloc[0]
    n_shown = int(is_shown(classes).sum())
    if not n_shown:
        return "The validation images show no class, so no probe can be judged."
    settings = (
        f"learning rate {write_plain(best['learning_rate'])} and weight decay "
        f"{write_plain(best['weight_decay'])}"
    )
    begin = f"The only probe, with {settings}, reaches"
    if len(probes) > 1:
        begin = f"Of {len(probes)} probes, the chosen one, with {settings}, reaches"
    return (
        f"{begin} mIoU {write_number(best['miou'])} over {_count(n_shown)} and pixel "
        f"accuracy {write_number(best['pixel_accuracy'])}."
    )


def write_choice_note(probes: pd.DataFrame) -> str:
    """Say what the choice of the probe used, and whether the sweep was wide enough."""
    if len(probes) == 1:
        return (
            "There was no other probe to choose from. Validation images choose "
            "nothing: neither the latents of a class nor the settings of suppression."
        )
    text = (
        "It was chosen by its mIoU over the patches of held-out training images. "
        "Validation images choose nothing: neither the probe nor the latents of a "
        "class nor the settings of suppression."
    )
    edges = []
    best = probes.loc[probes["is_best"]].iloc[0]
    for column, name in (
        ("learning_rate", "learning rate"),
        ("weight_decay", "weight decay"),
    ):
        values = sorted(set(probes[column]))
        if len(values) > 1 and best[column] in (values[0], values[-1]):
            end = "lowest" if best[column] == values[0] else "highest"
            edges.append(f"its {name} is the {end} of the sweep")
    if edges:
        listed = join_names(edges)
        text += f" {listed[0].upper()}{listed[1:]}: values beyond might be better."
    return text


def write_missing_note(classes: pd.DataFrame) -> str:
    """Name the classes that mIoU leaves out."""
    missing = classes[~is_shown(classes)]
    if missing.empty:
        return f"The validation images show all {len(classes)} classes."
    return (
        f"{_count(len(missing))} of {len(classes)} that the validation images do not "
        f"show {'is' if len(missing) == 1 else 'are'} left out of mIoU: "
        f"{list_classes(zip(missing['label'], missing['class_name'], strict=True))}."
    )


def show_sweep(probes: pd.DataFrame) -> TextTable:
    """Format the sweep for readers, with a row for each probe."""
    rows = [
        [
            write_plain(row["learning_rate"]) + (" ‡" if row["is_best"] else ""),
            write_plain(row["weight_decay"]),
            write_number(row["held_out_miou"]),
            write_number(row["miou"]),
            write_number(row["pixel_accuracy"]),
            write_number(row["loss"]),
        ]
        for _, row in probes.iterrows()
    ]
    return TextTable(SWEEP_COLUMNS, rows)


def show_classes(classes: pd.DataFrame) -> TextTable:
    """Format the measures of the chosen probe, with a row for each class."""
    rows = [
        [
            str(row["label"]),
            row["class_name"],
            f"{row['n_images']:,}",
            f"{row['n_pixels']:,}",
            write_number(row["iou"]),
            write_number(row["accuracy"]),
            row["note"],
        ]
        for _, row in classes.iterrows()
    ]
    return TextTable(CLASS_COLUMNS, rows)


def _count(n: int) -> str:
    return "1 class" if n == 1 else f"{n} classes"
