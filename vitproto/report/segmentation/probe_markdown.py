"""What the linear probes are like, in words and tables."""

import pandas as pd

from vitproto.report.segmentation.class_names import list_classes
from vitproto.report.segmentation.probe_table import is_shown
from vitproto.report.shared.markdown import Section, TextTable, write_section
from vitproto.report.shared.wording import join_names, write_number, write_plain

HEADING = "How well does a linear probe segment?"

SWEEP_COLUMNS = {
    "Rate": "<",
    "Decay": "<",
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
        "the learning rate and the weight decay of AdamW; ‡ marks the probe that was "
        "chosen, the one with the highest mIoU."
    ),
    "mIoU": (
        "the mean IoU over the classes that the validation images show, each class "
        "counting alike."
    ),
    "Pixel accuracy": "the share of labelled pixels whose class is predicted.",
    "Loss": "mean cross-entropy over the last pass through the training patches.",
    "Images, Pixels": "how many validation images and pixels show the class.",
    "IoU": (
        "of the labelled pixels that show the class or are predicted to, the share "
        "that does both, over all validation images together and at full resolution."
    ),
    "Accuracy": "of the pixels that show the class, the share that is predicted so.",
}
"""What each column means, by its name."""


def write_markdown(probes: pd.DataFrame, classes: pd.DataFrame) -> str:
    """What does a reader see in `probe_table.md`?

    Args:
        probes: what `read_probes` gives.
        classes: what `read_baseline` gives.
    """
    meanings = [f"- **{name}**: {meaning}" for name, meaning in MEANINGS.items()]
    text = write_section(describe_probes(probes, classes))
    return "\n".join([text, "## What the columns mean", "", *meanings, ""])


def describe_probes(probes: pd.DataFrame, classes: pd.DataFrame) -> Section:
    """How well do the probes segment? As a section of the page."""
    said = [
        write_headline(probes, classes),
        write_choice_note(probes),
        write_missing_note(classes),
    ]
    tables = {
        "All probes of the sweep": show_sweep(probes),
        "The chosen probe, class by class": show_classes(classes),
    }
    return Section(HEADING, said, tables)


def write_headline(probes: pd.DataFrame, classes: pd.DataFrame) -> str:
    """Which probe is the best, and how good is it?"""
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
        begin = f"Of {len(probes)} probes the best has {settings}:"
    return (
        f"{begin} mIoU {write_number(best['miou'])} over {_count(n_shown)} and pixel "
        f"accuracy {write_number(best['pixel_accuracy'])}."
    )


def write_choice_note(probes: pd.DataFrame) -> str:
    """What did the choice of the probe see, and did the sweep reach far enough?"""
    if len(probes) == 1:
        return (
            "There was no other to choose from. Neither the latents of a class nor the "
            "settings of suppression are chosen on the validation images."
        )
    text = (
        "It was chosen by its mIoU on the same validation images on which it is "
        "reported here, so its numbers are slightly optimistic. Neither the latents of "
        "a class nor the settings of suppression are chosen there."
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
        said = join_names(edges)
        text += f" {said[0].upper()}{said[1:]}: others beyond might do better."
    return text


def write_missing_note(classes: pd.DataFrame) -> str:
    """Which classes are left out of mIoU?"""
    missing = classes[~is_shown(classes)]
    if missing.empty:
        return f"The validation images show all {len(classes)} classes."
    return (
        f"{_count(len(missing))} of {len(classes)} that the validation images do not "
        f"show {'is' if len(missing) == 1 else 'are'} left out of mIoU: "
        f"{list_classes(zip(missing['label'], missing['class_name'], strict=True))}."
    )


def show_sweep(probes: pd.DataFrame) -> TextTable:
    """A row for each probe."""
    rows = [
        [
            write_plain(row["learning_rate"]) + (" ‡" if row["is_best"] else ""),
            write_plain(row["weight_decay"]),
            write_number(row["miou"]),
            write_number(row["pixel_accuracy"]),
            write_number(row["loss"]),
        ]
        for _, row in probes.iterrows()
    ]
    return TextTable(SWEEP_COLUMNS, rows)


def show_classes(classes: pd.DataFrame) -> TextTable:
    """A row for each class."""
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
