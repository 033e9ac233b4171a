"""The AP of every run for every trait, read from the files that selection writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from vitproto.data.image_list import read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.shared.runs import (
    FAMILY,
    RUN,
    SETTING,
    check_expected,
    runs_of,
)
from vitproto.report.shared.typed_csv import (
    describe_row,
    read_together,
    read_typed,
    refuse,
)
from vitproto.study.family import describe_difference

COLUMNS = {
    "study": "str",
    "dataset": "str",
    "encoder": "str",
    "layer": "int64",
    "method": "str",
    "n_prototypes": "int64",
    "learning_rate": "float64",
    "sparsity": "float64",
    "seed": "int64",
    "n_alive": "int64",
    "selection_seed": "int64",
    "n_train": "int64",
    "trait": "str",
    "prototype": "Int64",
    "train_ap": "float64",
    "test_ap": "float64",
    "prevalence": "float64",
    "chance": "float64",
}
"""Columns of an AP file, and their types."""

MAY_BE_EMPTY = [
    *("learning_rate", "sparsity", "prototype", "train_ap", "test_ap", "chance")
]

REMEDY = "select prototypes again"

METHOD = [*FAMILY, "n_prototypes"]
"""Columns that name what the study compares, at equal numbers of prototypes."""

PLACE = ["encoder", "layer", "n_prototypes"]
"""Columns that name where methods can be compared."""

CONFIGURATION = [*METHOD, *SETTING, "n_train"]
"""Columns that name a row of the mAP table."""

PAIR = ["seed", "selection_seed"]
"""Columns that these rows average over."""


@dataclass(frozen=True)
class Expected:
    """What the AP files of a study must hold, no more and no less."""

    study: str
    """Name of the study in the configuration."""
    dataset: str
    """Data set with the traits."""
    families: tuple[str, ...]
    """Families with their runs: clip/layer3/random,clip/layer7/random:k8-seed0."""
    n_train: tuple[int | Literal["all"], ...]
    """Numbers of training images to choose prototypes on, such as 16 256 all."""
    selection_seeds: tuple[int, ...]
    """Random subsets of training images; all images are one subset, with the first
    of these."""


@dataclass(frozen=True)
class ApFiles:
    """The files with the AP of a study."""

    ap: tuple[Path, ...]
    """CSV files of per-trait AP, of one data set, in any order."""
    splits: Path
    """CSV file with the splits of that data set's images."""
    traits: Path
    """NPZ file that says which image shows which trait."""


def read_ap(files: ApFiles, expected: Expected) -> pd.DataFrame:
    """Read the test AP of the chosen prototypes, for all traits and runs of a study.

    Returns:
        All rows, sorted by configuration, pair of seeds and trait.

    Raises:
        ValueError: a file is another study's; a run, a subset of the training images
            or a trait is missing or unexpected; or see `read_rows`.
    """
    ap = read_rows(files.ap, expected)
    check_expected(runs_of(ap), expected.families, "the table of AP")
    _check_subsets(ap, files.splits, expected)
    traits = set(ap["trait"])
    wanted = set(TraitLabels.load(files.traits).trait_names)
    if traits != wanted:
        missing, surplus = sorted(wanted - traits), sorted(traits - wanted)
        problem = f"lacks the trait {missing[0]}" if missing else ""
        if not missing:
            problem = f"holds the trait {surplus[0]}, which {files.traits} lacks"
        raise ValueError(f"the table of AP {problem}: {REMEDY}")
    return ap


def read_rows(paths: Sequence[Path], expected: Expected | None) -> pd.DataFrame:
    """Read the test AP of the chosen prototypes from some AP files.

    Args:
        paths: CSV files with the columns of `COLUMNS`, in any order. A row without a
            prototype is a trait that none of the `n_train` images shows; a row
            without test AP is a trait that no test image shows.
        expected: the study and data set of the files; None for any.

    Returns:
        All rows, sorted by configuration, pair of seeds and trait.

    Raises:
        ValueError: a column is missing, a value is not a number or not a share, a run
            is in two files or lacks traits or sizes of the others, or the files hold
            more than one data set, or give a trait different prevalences or levels of
            chance.
    """
    ap = read_together(
        paths,
        lambda path: _read_checked(path, expected),
        [*CONFIGURATION, *PAIR, "trait"],
        "AP files",
    )
    datasets = sorted(ap["dataset"].unique())
    if len(datasets) != 1:
        raise ValueError(
            f"the AP files hold {len(datasets)} data sets ({', '.join(datasets)}): a "
            "table compares runs on one"
        )
    _check_traits(ap)
    _check_runs(ap)
    return ap


def matches(rows: pd.DataFrame, row: pd.Series, columns: list[str]) -> pd.Series:
    """Find the rows that agree with `row` in these columns; two NaN agree."""
    agree = pd.Series(True, index=rows.index)
    for column in columns:
        value = row[column]
        agree &= rows[column].isna() if pd.isna(value) else rows[column] == value
    return agree


def _read_checked(path: Path, expected: Expected | None) -> pd.DataFrame:
    ap = read_typed(path, COLUMNS, MAY_BE_EMPTY)
    _check_values(path, ap)
    if expected is not None:
        _check_study(path, ap, expected)
    return ap


def _check_study(path: Path, ap: pd.DataFrame, expected: Expected) -> None:
    """Refuse the file of another study."""
    for column in ("study", "dataset"):
        named = ", ".join(sorted(ap[column].unique())) or "none"
        wanted = getattr(expected, column)
        if named != wanted:
            raise ValueError(
                f"{path} has the {column} {named}, expected {wanted}: delete it and "
                f"{REMEDY}"
            )


def _check_subsets(ap: pd.DataFrame, splits: Path, expected: Expected) -> None:
    """Refuse a run in which a subset of training images is missing or unexpected."""
    n_all = int((read_splits(splits)["split"] == "train").sum())
    sizes = {n_all if n == "all" else n for n in expected.n_train}
    seeds = expected.selection_seeds
    wanted = {
        f"n_train {n} of selection seed {seed}"
        for n in sizes
        for seed in (seeds[:1] if n == n_all else seeds)
    }
    subsets = ap[[*RUN, "n_train", "selection_seed"]].drop_duplicates()
    for _, rows in subsets.groupby(RUN, dropna=False):
        pairs = zip(rows["n_train"], rows["selection_seed"], strict=True)
        used = {f"n_train {n} of selection seed {seed}" for n, seed in pairs}
        if used != wanted:
            difference = describe_difference(wanted - used, used - wanted)
            run = describe_row(rows.iloc[0], RUN)
            raise ValueError(f"the run with {run} {difference}: {REMEDY}")


def _check_values(path: Path, ap: pd.DataFrame) -> None:
    shares = ap[["train_ap", "test_ap", "prevalence", "chance"]]
    selected = ap["prototype"].notna()
    not_chance = (ap["test_ap"] - ap["chance"]).abs() > 1e-6
    mistakes = {
        "an AP, a prevalence or a chance level is not between 0 and 1": (
            (shares < 0) | (shares > 1)
        ).any(axis=1),
        "prototype and train_ap go together, one is empty": (
            selected != ap["train_ap"].notna()
        ),
        "test_ap must be empty where no test image shows the trait, and only there": (
            ap["test_ap"].isna() != (ap["prevalence"] == 0)
        ),
        "chance must be empty where no test image shows the trait, and only there": (
            ap["chance"].isna() != (ap["prevalence"] == 0)
        ),
        "chance is below the prevalence": ap["chance"] < ap["prevalence"] - 1e-6,
        "without a prototype, test_ap must be chance": ~selected & not_chance,
        "n_alive is not between 0 and n_prototypes": (
            ~ap["n_alive"].between(0, ap["n_prototypes"])
        ),
    }
    refuse(path, ap, mistakes, REMEDY)


def _check_traits(ap: pd.DataFrame) -> None:
    """Refuse runs that were tested on other traits or other images."""
    traits = ap.groupby("trait")
    for column, name in (("prevalence", "prevalences"), ("chance", "chance levels")):
        n_values = traits[column].nunique()
        if (n_values > 1).any():
            trait = n_values.idxmax()
            values = sorted(ap.loc[ap["trait"] == trait, column].unique())
            raise ValueError(
                f"the AP files give the trait {trait} different {name}, "
                f"{' and '.join(map(str, values[:2]))}: they were tested on different "
                "images or labels"
            )
    n_traits = ap.groupby([*CONFIGURATION, *PAIR], dropna=False)["trait"].size()
    lacking = n_traits < len(traits)
    if lacking.any():
        key = n_traits.index.to_frame(index=False)[lacking.to_numpy()].iloc[0]
        own = ap.loc[matches(ap, key, list(key.index)), "trait"]
        trait = min(set(ap["trait"]) - set(own))
        raise ValueError(
            f"a run has {len(own)} of the {len(traits)} traits of the others: "
            f"{_first(lacking)}: it lacks {trait}: {REMEDY}"
        )


def _check_runs(ap: pd.DataFrame) -> None:
    """Refuse runs that contradict themselves, or lack a size of subset."""
    runs = ap.groupby([*METHOD, *SETTING, "seed"], dropna=False)
    differ = runs["n_alive"].nunique() > 1
    if differ.any():
        raise ValueError(
            f"a run has different numbers of alive prototypes: {_first(differ)}: "
            f"{REMEDY}"
        )
    sizes = set(ap["n_train"])
    lacking = runs["n_train"].nunique() < len(sizes)
    if lacking.any():
        raise ValueError(
            f"a run lacks some n_train of {', '.join(map(str, sorted(sizes)))}, which "
            f"others have: {_first(lacking)}: {REMEDY}"
        )


def _first(is_bad: pd.Series) -> str:
    """Name the first bad group, by the levels of the index."""
    groups = is_bad.index.to_frame(index=False)
    return describe_row(groups[is_bad.to_numpy()].iloc[0], list(groups.columns))
