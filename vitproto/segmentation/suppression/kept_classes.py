"""The counts of classes that an unfinished job has kept, so that they are counted once.

M test images, C classes, K kinds of edits of a class, O doses.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from vitproto.core.hdf5_file import (
    Hdf5Reader,
    open_hdf5,
    whole_hdf5,
    write_attributes,
)
from vitproto.core.unfinished import Unfinished
from vitproto.segmentation.suppression.class_counts import Before, ClassCounts
from vitproto.segmentation.suppression.edits import ClassEdits
from vitproto.segmentation.suppression.pixel_changes import (
    COMPRESSED,
    changed_pixels,
)

_AS_COUNTED = ("n_changed_KO", "n_others_changed_KO", "n_to_OC", "length_OM")
_NUMBERS = ("n_patches", "n_others")


@dataclass(frozen=True)
class KeptClasses:
    """The classes whose counts are kept until those of all are written."""

    unfinished: Unfinished

    def write(self, counts: ClassCounts, before: Before) -> None:
        """Keep the counts of a class."""
        path = self.unfinished.path(f"class{counts.edits.label}", ".h5")
        changes = changed_pixels(
            counts.predicted_KOMC - before.predicted_MC.astype(np.int32),
            counts.hit_KOMC - before.hit_MC.astype(np.int32),
        )
        values = {name: getattr(counts, name) for name in _AS_COUNTED}
        with whole_hdf5(path) as file:
            write_attributes(file, {name: getattr(counts, name) for name in _NUMBERS})
            for name, array in {**values, **changes}.items():
                kept = COMPRESSED if array.size else {}
                file.create_dataset(name, data=array, track_times=False, **kept)

    def read(self, edits: ClassEdits, before: Before) -> ClassCounts | None:
        """Read the counts of a class, None if they are not there.

        Raises:
            ValueError: the file is damaged.
        """
        path = self.unfinished.path(f"class{edits.label}", ".h5")
        if not path.exists():
            return None
        remedy = "delete it, and run again"
        with open_hdf5(path, "holds no counts", remedy) as file, file.naming_damage():
            numbers = file.attributes()
            return ClassCounts(
                edits=edits,
                predicted_KOMC=_read_pixels(
                    file, "predicted_X", before.predicted_MC, edits
                ),
                hit_KOMC=_read_pixels(file, "hit_X", before.hit_MC, edits),
                **{name: file.values(name) for name in _AS_COUNTED},
                **{name: int(numbers[name]) for name in _NUMBERS},
            )


def _read_pixels(
    file: Hdf5Reader, name: str, before_MC: np.ndarray, edits: ClassEdits
) -> Int32[np.ndarray, "k o m c"]:
    """Counts before any edit, with the changes that each makes."""
    n_kinds, n_doses = len(edits.kinds_K), len(edits.doses_O)
    counts_EMC = np.repeat(before_MC.astype(np.int32)[None], n_kinds * n_doses, axis=0)
    n_changes_E = np.diff(file.values("start_E"))
    edit_X = np.repeat(np.arange(len(n_changes_E)), n_changes_E)
    entries = edit_X, file.values("image_X"), file.values("class_X")
    counts_EMC[entries] += file.values(name)
    return counts_EMC.reshape(n_kinds, n_doses, *before_MC.shape)
