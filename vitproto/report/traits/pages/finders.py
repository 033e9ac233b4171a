"""The prototypes that the pages of traits show: one per method and trait."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from vitproto.prototypes.checkpoint import FittedRun, find_run
from vitproto.report.shared.runs import runs_of
from vitproto.report.traits.answer import keep_largest_shared
from vitproto.report.traits.ap_table import CONFIGURATION, PAIR, matches, read_rows
from vitproto.study.family import FittedFamily
from vitproto.traits.chosen_scores import open_chosen_of


@dataclass(frozen=True)
class FamilyFiles:
    """The files of the families in one layer, each in the same order."""

    ap: tuple[Path, ...]
    """The ap.csv of each family."""
    chosen: tuple[Path, ...]
    """The chosen_scores.h5 of each family."""
    checkpoints: tuple[Path, ...]
    """The checkpoints.json of each family."""
    fit_datasets: tuple[str, ...]
    """The data set that each family's prototypes were fitted to."""


@dataclass(frozen=True)
class Finder:
    """A run of a method, with the prototype that it has for each of T traits.

    Attributes:
        method: the name of the method.
        n_prototypes: the prototypes to choose from.
        n_train: the training images that chose.
        fit: the run.
        chosen: a row for each trait, by its name: `prototype`, NA where none could be
            chosen, `train_ap`, `test_ap` and `chance`, NaN where no image shows it.
        scores_NT: every image's score for each trait's prototype; 0 without one.
    """

    method: str
    n_prototypes: int
    n_train: int
    fit: FittedRun
    chosen: pd.DataFrame
    scores_NT: Float32[np.ndarray, "n t"]

    def prototype_of(self, trait: str) -> int | None:
        """The prototype of a trait, counted from 0; None if none could be chosen."""
        prototype = self.chosen.loc[trait, "prototype"]
        return None if pd.isna(prototype) else int(prototype)


def keep_shown(table: pd.DataFrame) -> pd.DataFrame:
    """The configuration of each method that is shown, at the largest `n_train`.

    Methods are shown at the number of prototypes that the answer compares. A method
    without a run of that size is shown at its largest.

    Args:
        table: rows of `tabulate_configurations` of one layer.
    """
    rows = table[table["is_chosen"] & (table["n_train"] == table["n_train"].max())]
    shared = keep_largest_shared(rows)["n_prototypes"].iloc[0]
    # False sorts before True: the shared number, else the largest.
    order = rows.assign(
        is_other=rows["n_prototypes"] != shared, fewer=-rows["n_prototypes"]
    )
    own = order.sort_values(["is_other", "fewer"]).groupby("method").head(1)
    shown = own.drop(columns=["is_other", "fewer"])
    return shown.sort_values(["map", "method"], ascending=[False, True])


def read_finders(
    files: FamilyFiles,
    table: pd.DataFrame,
    trait_names: Sequence[str],
    image_ids: Sequence[str],
) -> list[Finder]:
    """Read the prototypes to show, those of the method with the highest mAP first.

    Where a configuration has several seeds, the first of each kind is shown.

    Args:
        files: the files of all families in a layer.
        table: the rows of `tabulate_configurations` of this layer.
        trait_names: the traits, in the order of the columns of scores.
        image_ids: the images, in the order of the rows of scores.

    Raises:
        ValueError: a file belongs to another layer, family or data set, is damaged, or
            was made of another checkpoint.
    """
    shown = keep_shown(table).set_index("method", drop=False)
    finders = {}
    places = zip(
        *(files.ap, files.chosen, files.checkpoints, files.fit_datasets), strict=True
    )
    for ap_file, chosen_file, checkpoints, fit_dataset in places:
        ap = read_rows([ap_file], None)
        method = ap["method"].iloc[0]
        if method not in shown.index:
            raise ValueError(
                f"{ap_file} holds the method {method}, which the table of mAP lacks in "
                "this layer: tabulate_map must run again"
            )
        configuration = shown.loc[method]
        own = ap[matches(ap, configuration, CONFIGURATION)]
        first = own[PAIR].min()
        own = own[matches(own, first, PAIR)].set_index("trait", drop=False)
        own = own.loc[list(trait_names)]
        (family, run), *_ = runs_of(own)
        fitted = FittedFamily(fit_dataset, *family)
        fit = find_run(checkpoints, fitted, run.name)
        with open_chosen_of(chosen_file, ap) as scores:
            if scores.image_ids != list(image_ids):
                raise ValueError(
                    f"{chosen_file} holds the scores of other images than the list of "
                    "splits: select prototypes again"
                )
            if scores.made_by(run) != fit.sha256:
                raise ValueError(
                    f"{chosen_file} holds scores of another checkpoint of {run.name} "
                    f"than {checkpoints} lists: score images and select prototypes "
                    "again"
                )
            scores_NT = scores.scores_of(own)
        finders[method] = Finder(
            method,
            run.n_prototypes,
            int(configuration["n_train"]),
            fit,
            own[["prototype", "train_ap", "test_ap", "chance"]],
            scores_NT,
        )
    lacking = shown.index.difference(list(finders))
    if len(lacking):
        raise ValueError(
            f"the table of mAP holds the method {lacking[0]}, but no ap.csv of it was "
            "named: give the files of all families in the layer"
        )
    return [finders[method] for method in shown.index]
