"""The classes that patches change to when latents are suppressed, as a table."""

from collections.abc import Sequence

import numpy as np

from vitproto.segmentation.suppression.class_counts import ClassCounts
from vitproto.segmentation.suppression.terms import ChosenClass

CHANGE_COLUMNS = (
    *("label", "class_name", "dose", "to_label", "to_class_name"),
    *("share", "n_patches"),
)


def change_rows(
    chosen: ChosenClass,
    counts: ClassCounts | None,
    doses: Sequence[float],
    class_names: Sequence[str],
) -> list[dict[str, str | int | float]]:
    """The rows of one class in `changes.csv`: the classes that its patches change to.

    There is a row for each dose and each class that any of its patches changes to when
    its latents are suppressed; none if the class was not measured. `n_patches` is the
    number of such patches, `share` their share of all that change.
    """
    if counts is None:
        return []
    return [
        {
            "label": chosen.label,
            "class_name": chosen.name,
            "dose": dose,
            "to_label": int(to) + 1,
            "to_class_name": class_names[to],
            "share": int(n_C[to]) / int(n_C.sum()),
            "n_patches": int(n_C[to]),
        }
        for dose, n_C in zip(doses, counts.n_to_OC, strict=True)
        for to in np.flatnonzero(n_C)
    ]
