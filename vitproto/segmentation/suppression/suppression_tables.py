"""The tables of suppression: what classes lose, and what their patches change to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from vitproto.segmentation.suppression.edits import SuppressionSettings
from vitproto.segmentation.suppression.effects import (
    CHANGE_COLUMNS,
    change_rows,
    class_rows,
    resample,
)
from vitproto.segmentation.suppression.latent_tables import ChosenClass
from vitproto.segmentation.suppression.suppress import Before, ClassCounts


class SuppressionTables(NamedTuple):
    """What suppression did."""

    effects: pd.DataFrame
    """A row for each class, edit and dose, for `suppression.csv`."""
    changes: pd.DataFrame
    """What the patches of each class change to, for `changes.csv`."""

    @property
    def n_measured(self) -> int:
        """Classes whose loss was measured."""
        return self.effects.loc[self.effects["loss"].notna(), "label"].nunique()


def tabulate(
    results: Iterable[tuple[Before, ChosenClass, ClassCounts | None]],
    n_images: int,
    class_names: Sequence[str],
    place: Mapping[str, str | int],
    cfg: SuppressionSettings,
) -> SuppressionTables:
    """Tabulate one class after the other, as `suppress` yields them.

    Args:
        results: what was before, the class, and its counts, if there are any.
        n_images: test images.
        class_names: of the labels 1 to C.
        place: the columns that each row repeats.
        cfg: how latents were suppressed.
    """
    weights_RM = resample(n_images, cfg)
    effects, changes = [], []
    for before, chosen, counts in results:
        effects += class_rows(chosen, before, counts, weights_RM, cfg.doses)
        if counts is not None:
            changes += change_rows(chosen, counts, cfg.doses, class_names)
    return SuppressionTables(
        pd.DataFrame([{**place, **row} for row in effects]),
        pd.DataFrame(
            [{**place, **row} for row in changes], columns=[*place, *CHANGE_COLUMNS]
        ),
    )
