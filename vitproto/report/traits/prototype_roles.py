"""What a study of traits found out about the prototypes that pages show."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float32

from vitproto.data.image_list import check_same_images, read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.features.feature import ClassRate, FoundTrait, Role
from vitproto.features.page import Place
from vitproto.report.shared.links import link_to
from vitproto.report.traits.ap_table import matches, read_rows
from vitproto.report.traits.trait_links import name_page
from vitproto.study.family import ScoredFamily
from vitproto.study.run import Run
from vitproto.traits.score_file import open_scores, read_scores


class Found(NamedTuple):
    """What a study of traits found out about prototypes and images."""

    roles: dict[int, Role]
    """By prototype."""
    class_names: dict[str, str]
    """The class of each image, by its id; empty where it has none."""


@dataclass(frozen=True)
class RoleFiles:
    """The files of a study of traits; all empty if it looks for none."""

    splits: tuple[Path, ...]
    """The CSV file with the splits and classes of the images; none without traits."""
    traits: tuple[Path, ...]
    """The NPZ file that says which image shows which trait; none without traits."""
    scores: tuple[Path, ...]
    """The HDF5 file with the image scores of the run's family; none without traits."""
    ap: tuple[Path, ...]
    """The ap.csv of the run's family; none without traits."""

    def read(
        self,
        runs: Collection[str],
        place: Place,
        prototypes: Collection[int],
        page: Path,
        home: Path,
    ) -> Found:
        """Read for which traits prototypes were chosen, and how classes score.

        Choices are those of the most training images, with the first selection seed.

        Args:
            runs: the names of all runs of the family.
            place: the run.
            prototypes: those to look up.
            page: the page that links to traits.
            home: the folder of the study.

        Returns:
            The role of each prototype; nothing if there are no files.

        Raises:
            ValueError: some files are given and others not, or a file is damaged or of
                another family or data set.
        """
        given = (self.splits, self.traits, self.scores, self.ap)
        if not any(given):
            return Found({}, {})
        if [len(paths) for paths in given] != [1, 1, 1, 1]:
            counts = ", ".join(str(len(paths)) for paths in given)
            raise ValueError(
                f"{counts} files of splits, traits, scores and AP were named: name "
                "one of each, or none"
            )
        (splits,), (traits,), (scores,), (ap,) = given
        fitted = Run.parse(place.run)
        labels = TraitLabels.load(traits)
        chosen = _keep_choice(read_rows([ap], None), fitted, ap)
        images = read_splits(splits)
        image_ids = images["image_id"].tolist()
        family = ScoredFamily(**vars(place.family), dataset=place.dataset)
        with open_scores(scores, family, runs) as file:
            check_same_images(file.image_ids, str(scores), image_ids, str(splits))
            scores_NK = read_scores(file, fitted)
        names = [name_page(t, trait) for t, trait in enumerate(labels.trait_names)]
        pages = dict(zip(labels.trait_names, names, strict=True))
        roles = {}
        for prototype in prototypes:
            found = [
                FoundTrait(
                    row.trait,
                    link_to(home / "traits" / pages[row.trait], page),
                    int(row.n_train),
                    None if pd.isna(row.test_ap) else float(row.test_ap),
                )
                for row in chosen[chosen["prototype"] == prototype].itertuples()
            ]
            rates = rate_classes(scores_NK[:, prototype], images["class_name"])
            roles[prototype] = Role(found, rates)
        return Found(roles, dict(zip(image_ids, images["class_name"], strict=True)))


def _keep_choice(rows: pd.DataFrame, run: Run, ap: Path) -> pd.DataFrame:
    """The rows of a run for the most training images, the highest AP first."""
    own = rows[matches(rows, pd.Series(vars(run)), list(vars(run)))]
    own = own[own["n_train"] == own["n_train"].max()]
    if own.empty:
        raise ValueError(f"{ap} has no rows of {run.name}: select prototypes again")
    own = own[own["selection_seed"] == own["selection_seed"].min()]
    return own.sort_values(["test_ap", "trait"], ascending=[False, True])


def rate_classes(
    scores_N: Float32[np.ndarray, " n"], class_name: pd.Series
) -> list[ClassRate]:
    """How a prototype scores the images of each class, the highest mean first.

    Args:
        scores_N: the score of each image.
        class_name: its class; empty where it has none.

    Returns:
        Nothing if images have no classes, or are all of one.
    """
    images = pd.DataFrame({"score": scores_N, "name": class_name.to_numpy()})
    images["above"] = images["score"] > 0
    # Means in float64: float32 would depend on the order of images.
    images["score"] = images["score"].astype(float)
    classes = (
        images[images["name"] != ""]
        .groupby("name", as_index=False)
        .agg(n=("score", "size"), rate=("above", "mean"), mean=("score", "mean"))
    )
    if len(classes) < 2:
        return []
    classes = classes.sort_values(["mean", "name"], ascending=[False, True])
    return [
        ClassRate(str(row.name_), int(row.n), float(row.rate), float(row.mean_score))
        for row in classes.rename(
            columns={"name": "name_", "mean": "mean_score"}
        ).itertuples(index=False)
    ]
