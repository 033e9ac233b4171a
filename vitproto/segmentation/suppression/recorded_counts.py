"""Write what suppression does as files, one class after the other.

M test images, C classes, K kinds of edits of a class, O doses.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from vitproto.core.hdf5_file import whole_hdf5, write_attributes, write_strings
from vitproto.segmentation.labels.patch_labels import PatchLabels
from vitproto.segmentation.suppression.changes import CHANGE_COLUMNS, change_rows
from vitproto.segmentation.suppression.class_counts import Before, ClassCounts
from vitproto.segmentation.suppression.counts_file import FORMAT
from vitproto.segmentation.suppression.edits import SuppressionSettings
from vitproto.segmentation.suppression.pixel_changes import (
    COMPRESSED,
    changed_pixels,
)
from vitproto.segmentation.suppression.terms import ChosenClass


def record_counts(
    path: Path,
    results: Iterable[tuple[Before, ChosenClass, ClassCounts | None]],
    labels: PatchLabels,
    place: Mapping[str, str | int],
    attributes: Mapping[str, Any],
    cfg: SuppressionSettings,
) -> tuple[pd.DataFrame, int]:
    """Write the pixel counts of one class after the other, as `suppress` yields them.

    Args:
        path: the HDF5 file to write.
        results: what was before, the class, and its counts, if there are any.
        labels: of the images.
        place: names the autoencoder, in the file and in each row.
        attributes: what else the file says of its making.
        cfg: how latents were suppressed.

    Returns:
        The table of `changes.csv`, and the number of classes with counts.
    """
    rows = []
    with CountsFile(path, {**place, **attributes}) as file:
        for i, (before, chosen, counts) in enumerate(results):
            if i == 0:
                tested = [labels.image_ids[m] for m in labels.i_test_M]
                file.write_before(before, tested, labels.classes)
            file.write_class(chosen, before, counts)
            rows += change_rows(chosen, counts, cfg.doses, labels.classes)
    columns = [*place, *CHANGE_COLUMNS]
    table = pd.DataFrame([{**place, **row} for row in rows], columns=columns)
    return table, file.n_measured


class CountsFile(AbstractContextManager):
    """Writes counts, one class after the other; the file appears when it is whole."""

    def __init__(self, path: Path, attributes: Mapping[str, Any]):
        """`attributes` say what made the counts: place, doses, settings, code."""
        self._whole = whole_hdf5(path)
        self._attributes = attributes
        self._n_measured = 0

    def __enter__(self) -> "CountsFile":
        self._file = self._whole.__enter__()
        attributes = {**self._attributes, "format": FORMAT}
        write_attributes(self._file, dict(sorted(attributes.items())))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._whole.__exit__(kind, error, trace)

    @property
    def n_measured(self) -> int:
        """Classes with counts that were written."""
        return self._n_measured

    def write_before(
        self, before: Before, image_ids: Sequence[str], class_names: Sequence[str]
    ) -> None:
        """Write the counts of unedited test images."""
        write_strings(self._file, "image_ids", image_ids)
        write_strings(self._file, "class_names", class_names)
        for name in ("true_MC", "predicted_MC", "hit_MC", "length_M"):
            self._file.create_dataset(f"before/{name}", data=getattr(before, name))

    def write_class(
        self, chosen: ChosenClass, before: Before, counts: ClassCounts | None
    ) -> None:
        """Write what the edits for a class change; None if it was not measured."""
        n_doses, n_images = len(self._attributes["doses"]), len(before.true_MC)
        group = self._file.create_group(f"classes/{chosen.label}")
        dead = () if counts is None else counts.edits.dead
        attributes = {
            "latents": np.array(chosen.latents, np.int64),
            "notes": chosen.notes,
            "kinds_K": () if counts is None else counts.edits.kinds_K,
            "dead": np.array(dead, np.int64),
            "n_patches": 0 if counts is None else counts.n_patches,
            "n_others": 0 if counts is None else counts.n_others,
        }
        write_attributes(group, attributes)
        nothing = np.zeros((0, n_doses, n_images, 0), np.int32)
        parts = {
            "length_OM": np.zeros((n_doses, n_images)),
            "n_changed_KO": np.zeros((0, n_doses), np.int64),
            "n_others_KO": np.zeros((0, n_doses), np.int64),
            **changed_pixels(nothing, nothing),
        }
        if counts is not None:
            self._n_measured += 1
            parts = {
                "length_OM": counts.length_OM,
                "n_changed_KO": counts.n_changed_KO,
                "n_others_KO": counts.n_others_changed_KO,
                **changed_pixels(
                    counts.predicted_KOMC - before.predicted_MC.astype(np.int32),
                    counts.hit_KOMC - before.hit_MC.astype(np.int32),
                ),
            }
        for name, values in parts.items():
            kept = COMPRESSED if values.size else {}
            group.create_dataset(name, data=values, track_times=False, **kept)
