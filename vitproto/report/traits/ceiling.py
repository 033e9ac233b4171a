"""What supervised probes reach: read from the files of `probe_traits`, tabulated."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.data.image_list import read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.shared.typed_csv import (
    describe_row,
    read_together,
    read_typed,
    refuse,
)
from vitproto.report.traits.ap_table import ApFiles, Expected
from vitproto.study.family import describe_difference, read_families
from vitproto.traits.poolings import POOLINGS

COLUMNS = {
    "study": "str",
    "dataset": "str",
    "encoder": "str",
    "layer": "int64",
    "pooling": "str",
    "selection_seed": "int64",
    "n_train": "int64",
    "trait": "str",
    "regularisation": "float64",
    "cv_ap": "float64",
    "train_ap": "float64",
    "test_ap": "float64",
    "prevalence": "float64",
}
"""Columns of a ceiling file, and their types."""

MAY_BE_EMPTY = ["regularisation", "cv_ap", "train_ap", "test_ap"]

PLACE = ["encoder", "layer", "n_train"]
"""Columns that name a row of the table of ceilings."""

SUBSET = ["n_train", "selection_seed"]
"""Columns that name a subset of the training images."""

REMEDY = "run probe_traits again"


def read_ceiling(
    paths: Sequence[Path], files: ApFiles, expected: Expected
) -> pd.DataFrame:
    """Read the AP of supervised probes, for all layers of a study.

    Args:
        paths: the CSV files of `probe_traits`, in any order. A row without
            `regularisation` is a trait that all or none of the `n_train` images show;
            a row without `test_ap` is a trait that no test image shows.
        files: the splits and traits that they must agree with.
        expected: the study, its layers and subsets of training images.

    Returns:
        All rows, sorted by layer, pooling, subset and trait.

    Raises:
        ValueError: a column is missing, a value is not a share, a file is another
            study's, or a layer, a pooling, a subset or a trait is missing or
            unexpected.
    """
    key = ["encoder", "layer", "pooling", *SUBSET, "trait"]
    rows = read_together(
        paths, lambda path: _read_checked(path, expected), key, "ceiling files"
    )
    n_all = int((read_splits(files.splits)["split"] == "train").sum())
    sizes = {n_all if n == "all" else n for n in expected.n_train}
    seeds = expected.selection_seeds
    subsets = [(n, s) for n in sizes for s in (seeds[:1] if n == n_all else seeds)]
    layers = {(f.encoder, f.layer) for f in read_families(expected.families)}
    traits = TraitLabels.load(files.traits).trait_names
    wanted = {
        _name(*layer, pooling, *subset)
        for layer in layers
        for pooling in POOLINGS
        for subset in subsets
    }
    groups = rows.groupby(key[:-1])["trait"]
    present = {_name(*place) for place in groups.groups}
    if present != wanted:
        difference = describe_difference(wanted - present, present - wanted)
        raise ValueError(f"the table of ceilings {difference}: {REMEDY}")
    for place, own in groups:
        if set(own) != set(traits):
            difference = describe_difference(
                set(traits) - set(own), set(own) - set(traits)
            )
            raise ValueError(f"the ceiling of {_name(*place)} {difference}: {REMEDY}")
    _check_prevalence(rows)
    return rows


def tabulate_ceiling(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the test AP of probes over traits, then over subsets; choose a pooling.

    A trait without a probe counts with its `test_ap`, which is chance, as a trait
    without a prototype does. The pooling is chosen on training images: it has the
    higher cross-validated AP at this `n_train`, mean over the traits that have one,
    then over subsets. Both poolings are rated on the same traits and images. Of equals,
    and where no trait has a cross-validated AP, it is the first of `POOLINGS`.

    Args:
        rows: the rows of `read_ceiling`.

    Returns:
        A row for each encoder, layer and `n_train`, sorted by these, with

        - `pooling` and `ceiling`: the chosen pooling and its mAP;
        - `map_max`, `map_mean`: the mAP of each pooling;
        - `cv_max`, `cv_mean`: what they were chosen by. These are not comparable with
          the mAP, or between sizes of subset: few images are ranked at a time;
        - `train_map`: AP of the chosen pooling on the training images that its probes
          were fitted to;
        - `n_probed`: scored traits that have a probe, mean over subsets.
    """
    scored = rows[rows["test_ap"].notna()].copy()
    if scored.empty:
        raise ValueError("no trait of the ceiling files is shown by any test image")
    scored["is_probed"] = scored["regularisation"].notna()
    keys = [*PLACE, "pooling", "selection_seed"]
    subsets = scored.groupby(keys).agg(
        map=("test_ap", "mean"),
        train_map=("train_ap", "mean"),
        n_probed=("is_probed", "sum"),
    )
    # A trait that no test image shows helps to choose, as it does for regularisation.
    subsets["cv"] = rows.groupby(keys)["cv_ap"].mean()
    means = subsets.groupby([*PLACE, "pooling"]).mean().unstack("pooling")
    cv = means["cv"][list(POOLINGS)]
    # Rounded, so that the order of a sum decides nothing.
    pooling = cv.fillna(0).round(9).idxmax(axis=1)
    table = pd.DataFrame({"pooling": pooling})
    for column, name in (("map", "ceiling"), ("train_map",) * 2, ("n_probed",) * 2):
        table[name] = [means[column].loc[place, p] for place, p in pooling.items()]
    for name in POOLINGS:
        table[f"map_{name}"] = means["map"][name]
        table[f"cv_{name}"] = cv[name]
    columns = ["pooling", "ceiling", "map_max", "map_mean", "cv_max", "cv_mean"]
    return table[[*columns, "train_map", "n_probed"]].reset_index()


def share_of_ceiling(
    map_R: pd.Series, chance_R: pd.Series, ceiling_R: pd.Series
) -> pd.Series:
    """The share of what labels add to chance that a method reaches, for each row.

    Returns:
        (map - chance) / (ceiling - chance); NaN where the ceiling is not above chance.
        Negative below chance, above 1 where a method beats the probes.
    """
    above = ceiling_R - chance_R
    return (map_R - chance_R) / above.where(above > 0)


def _read_checked(path: Path, expected: Expected) -> pd.DataFrame:
    rows = read_typed(path, COLUMNS, MAY_BE_EMPTY)
    shares = rows[["cv_ap", "train_ap", "test_ap", "prevalence"]]
    is_probed = rows["regularisation"].notna()
    mistakes = {
        "an AP or a prevalence is not between 0 and 1": (
            (shares < 0) | (shares > 1)
        ).any(axis=1),
        "regularisation and train_ap go together, one is empty": (
            is_probed != rows["train_ap"].notna()
        ),
        "a regularisation is not above 0": rows["regularisation"] <= 0,
        "without a probe there is no cv_ap": ~is_probed & rows["cv_ap"].notna(),
        "test_ap must be empty where no test image shows the trait, and only there": (
            rows["test_ap"].isna() != (rows["prevalence"] == 0)
        ),
    }
    refuse(path, rows, mistakes, REMEDY)
    for column in ("study", "dataset"):
        named = ", ".join(sorted(rows[column].unique())) or "none"
        wanted = getattr(expected, column)
        if named != wanted:
            raise ValueError(
                f"{path} has the {column} {named}, expected {wanted}: {REMEDY}"
            )
    return rows


def _check_prevalence(rows: pd.DataFrame) -> None:
    """Refuse probes that were tested on different images or labels."""
    n_prevalences = rows.groupby("trait")["prevalence"].nunique()
    if (n_prevalences > 1).any():
        trait = n_prevalences.idxmax()
        row = rows[rows["trait"] == trait].iloc[0]
        raise ValueError(
            f"the ceiling files give a trait different prevalences: "
            f"{describe_row(row, ['trait', 'prevalence'])} and others: {REMEDY}"
        )


def _name(
    encoder: str, layer: int, pooling: str, n_train: int, selection_seed: int
) -> str:
    place = f"{encoder}/layer{layer} {pooling}"
    return f"{place} n_train {n_train} of selection seed {selection_seed}"
