"""Measures of the linear probes, read from the files of their training."""

from pathlib import Path

import pandas as pd

from vitproto.report.shared.typed_csv import read_typed, refuse

PROBE_COLUMNS = {
    "learning_rate": "float64",
    "weight_decay": "float64",
    "loss": "float64",
    "held_out_miou": "float64",
    "miou": "float64",
    "pixel_accuracy": "float64",
    "is_best": "bool",
}
"""Columns of `probes.csv` that are read, and their types."""

CLASS_COLUMNS = {
    "label": "int64",
    "class_name": "str",
    "n_images": "int64",
    "n_pixels": "int64",
    "iou": "float64",
    "accuracy": "float64",
    "note": "str",
}
"""Columns of `baseline.csv` that are read, and their types."""

AGREEMENT = 1e-4
"""Largest difference between the chosen probe's mIoU and the mean over its classes:
both files hold rounded numbers."""


def read_probes(path: Path) -> pd.DataFrame:
    """Read how well each probe of the sweep segments.

    Returns:
        A row for each probe, sorted by learning rate and weight decay.

    Raises:
        ValueError: the file is damaged, or does not mark exactly one probe as the best.
    """
    probes = read_typed(
        path, PROBE_COLUMNS, ["loss", "held_out_miou", "miou", "pixel_accuracy"]
    )
    if probes["is_best"].sum() != 1:
        raise ValueError(
            f"{path} marks {probes['is_best'].sum()} of {len(probes)} probes as the "
            "best, expected one: train the probes again"
        )
    key = ["learning_rate", "weight_decay"]
    remedy = "train the probes again"
    mistakes = {"this probe is on an earlier line too": probes.duplicated(key)}
    refuse(path, probes, mistakes, remedy)
    return probes.sort_values(key, ignore_index=True)


def read_baseline(path: Path) -> pd.DataFrame:
    """Read how well the best probe segments each class.

    Returns:
        A row for each class, sorted by label. `iou` and `accuracy` are NaN if they are
        undefined; `note` says why.

    Raises:
        ValueError: the file is damaged, a class is there twice, or a number is missing
            without a note.
    """
    classes = read_typed(path, CLASS_COLUMNS, ["iou", "accuracy"])
    mistakes = {
        "this label is on an earlier line too": classes.duplicated("label"),
        "a number is missing and no note says why": (
            classes[["iou", "accuracy"]].isna().any(axis=1) & (classes["note"] == "")
        ),
        "the class is shown but has no IoU": (
            classes["iou"].isna() & (classes["n_pixels"] > 0)
        ),
    }
    refuse(path, classes, mistakes, "measure the probe again")
    return classes.sort_values("label", ignore_index=True)


def check_same_probe(probes: pd.DataFrame, classes: pd.DataFrame) -> None:
    """Check that both files are of the same probe.

    Raises:
        ValueError: the mIoU of the best probe is not the mean over the classes.
    """
    miou = probes.loc[probes["is_best"], "miou"].iloc[0]
    mean = classes.loc[is_shown(classes), "iou"].mean()
    if abs(miou - mean) > AGREEMENT or pd.isna(miou) != pd.isna(mean):
        raise ValueError(
            f"the best probe has mIoU {miou:.6g}, but the mean over its classes is "
            f"{mean:.6g}: name the sweep and the baseline of the same training"
        )


def is_shown(classes: pd.DataFrame) -> pd.Series:
    """Find the classes that the validation images show; mIoU leaves out the others."""
    return classes["n_pixels"] > 0
