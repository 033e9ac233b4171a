"""How well the linear probes segment, read from the files of their training."""

from pathlib import Path

import pandas as pd

from vitproto.report.shared.typed_csv import read_typed, refuse

PROBE_COLUMNS = {
    "learning_rate": "float64",
    "weight_decay": "float64",
    "loss": "float64",
    "miou": "float64",
    "pixel_accuracy": "float64",
    "is_best": "bool",
}
"""Columns of `probes.csv` that are read, and what they hold."""

CLASS_COLUMNS = {
    "label": "int64",
    "class_name": "str",
    "n_images": "int64",
    "n_pixels": "int64",
    "iou": "float64",
    "accuracy": "float64",
    "note": "str",
}
"""Columns of `baseline.csv` that are read, and what they hold."""

AGREEMENT = 1e-4
"""How far the mIoU of the best probe may lie from the mean over its classes: both files
hold rounded numbers."""


def read_probes(path: Path) -> pd.DataFrame:
    """How well does each probe of the sweep segment?

    Returns:
        A row for each probe, sorted by learning rate and weight decay.

    Raises:
        ValueError: the file is damaged, or not exactly one probe is the best.
    """
    probes = read_typed(path, PROBE_COLUMNS, ["loss", "miou", "pixel_accuracy"])
    if probes["is_best"].sum() != 1:
        raise ValueError(
            f"{path} marks {probes['is_best'].sum()} of {len(probes)} probes as the "
            "best, expected one: train the probes again"
        )
    key = ["learning_rate", "weight_decay"]
    remedy = "train the probes again"
    refuse(path, {"this probe already stands above": probes.duplicated(key)}, remedy)
    return probes.sort_values(key, ignore_index=True)


def read_baseline(path: Path) -> pd.DataFrame:
    """How well does the best probe segment each class?

    Returns:
        A row for each class, sorted by label. `iou` and `accuracy` are NaN where they
        are not defined; `note` says why.

    Raises:
        ValueError: the file is damaged, a class stands there twice, or a number is
            missing without a note.
    """
    classes = read_typed(path, CLASS_COLUMNS, ["iou", "accuracy"])
    mistakes = {
        "this label already stands above": classes.duplicated("label"),
        "a number is missing and no note says why": (
            classes[["iou", "accuracy"]].isna().any(axis=1) & (classes["note"] == "")
        ),
        "the class is shown but has no IoU": (
            classes["iou"].isna() & (classes["n_pixels"] > 0)
        ),
    }
    refuse(path, mistakes, "measure the probe again")
    return classes.sort_values("label", ignore_index=True)


def check_same_probe(probes: pd.DataFrame, classes: pd.DataFrame) -> None:
    """Do both files speak of the same probe?

    Raises:
        ValueError: mIoU of the best probe is not the mean over the classes.
    """
    told = probes.loc[probes["is_best"], "miou"].iloc[0]
    found = classes.loc[is_shown(classes), "iou"].mean()
    if abs(told - found) > AGREEMENT or pd.isna(told) != pd.isna(found):
        raise ValueError(
            f"the best probe has mIoU {told:.6g}, but the mean over its classes is "
            f"{found:.6g}: name the sweep and the baseline of the same training"
        )


def is_shown(classes: pd.DataFrame) -> pd.Series:
    """Which classes do the test images show? The others are left out of mIoU."""
    return classes["n_pixels"] > 0
