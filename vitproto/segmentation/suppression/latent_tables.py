"""Read the tables that suppression needs: chosen latents and their activity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vitproto.core.unreadable import unreadable
from vitproto.segmentation.suppression.edits import Activity
from vitproto.segmentation.suppression.sparse_latents import SparseLatents
from vitproto.segmentation.suppression.terms import ChosenClass

_CLASS_COLUMNS = ["label", "class_name", "latent", "is_chosen", "note"]
_ACTIVITY_COLUMNS = ["latent", "n_active", "largest"]


def to_activity(latents: SparseLatents) -> pd.DataFrame:
    """Tabulate what each latent did in training, for `latent_activity.csv`."""
    return pd.DataFrame(
        {
            "latent": np.arange(len(latents.n_active_S)),
            "n_active": latents.n_active_S,
            "largest": latents.largest_S,
        }
    )


def read_chosen(
    path: Path, class_names: Sequence[str], n_latents: int
) -> list[ChosenClass]:
    """Read the latents to suppress for each class, from `class_latents.csv`.

    Args:
        path: a row per class, criterion and rank; a class without latents has one row
            whose note says why.
        class_names: the names of the labels 1 to C, to compare.
        n_latents: the number of latents of the autoencoder.

    Returns:
        The classes of the file, labels ascending.

    Raises:
        ValueError: the file is missing or damaged, a class has another name than in
            `class_names`, or the autoencoder lacks a latent.
    """
    table = _read(path, _CLASS_COLUMNS)
    chosen = []
    for label, rows in table.groupby("label"):
        name = rows["class_name"].iloc[0]
        if not 1 <= label <= len(class_names) or name != class_names[label - 1]:
            raise ValueError(
                f"{path} names label {label} {name!r}, but the patch labels have "
                f"{len(class_names)} classes and name label "
                f"{min(label, len(class_names))} "
                f"{class_names[min(label, len(class_names)) - 1]!r}: make both from "
                "the same data set"
            )
        kept = rows[rows["is_chosen"] == "True"]
        numbers = _as_numbers(path, kept["latent"], np.int64)
        latents = tuple(dict.fromkeys(numbers.tolist()))
        if lacking := [i for i in latents if not 0 <= i < n_latents]:
            raise ValueError(
                f"{path} chooses latent {lacking[0]} for {name}, but the autoencoder "
                f"has {n_latents}, counted from 0: name the run that it was made from"
            )
        notes = () if latents else tuple(filter(None, dict.fromkeys(rows["note"])))
        chosen.append(ChosenClass(int(label), name, latents, notes))
    return chosen


def read_activity(path: Path, n_latents: int) -> Activity:
    """Read the activity of each latent in training, from `latent_activity.csv`.

    Raises:
        ValueError: the file is missing or damaged, or lists other latents.
    """
    table = _read(path, _ACTIVITY_COLUMNS)
    if table["latent"].tolist() != [str(i) for i in range(n_latents)]:
        raise ValueError(
            f"{path} lists {len(table)} latents, but the autoencoder has {n_latents}: "
            "name the run that it was made from"
        )
    return Activity(
        n_active_S=_as_numbers(path, table["n_active"], np.int64).to_numpy(),
        largest_S=_as_numbers(path, table["largest"], np.float64).to_numpy(),
    )


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read some columns; labels as integers, the others as text."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}: run the stage that writes it")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise _damage(path, error) from error
    if missing := [name for name in columns if name not in table]:
        raise ValueError(
            f"{path} lacks the columns {', '.join(missing)}: delete it and run the "
            "stage that writes it again"
        )
    if "label" in columns:
        table["label"] = _as_numbers(path, table["label"], np.int64)
    return table[columns]


def _as_numbers(path: Path, column: pd.Series, kind: type[np.number]) -> pd.Series:
    try:
        return column.astype(kind)
    except (ValueError, OverflowError) as error:
        raise _damage(path, error) from error


def _damage(path: Path, error: Exception) -> ValueError:
    damaged = f"{path} is damaged ({error}): delete it and run find_class_latents again"
    return unreadable(path, error, damaged)
