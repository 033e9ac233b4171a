"""The per-trait AP of every run, read from the files that selection writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from vitproto.data.image_list import read_splits
from vitproto.data.trait_labels import TraitLabels
from vitproto.report.shared.expected_runs import FAMILY, check_expected, runs_of
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
}
"""Columns of an AP file, and what they hold."""

MAY_BE_EMPTY = ["learning_rate", "sparsity", "prototype", "train_ap", "test_ap"]

METHOD = ["encoder", "layer", "method", "n_prototypes"]
"""What the study compares, at equal numbers of prototypes."""

SETTING = ["learning_rate", "sparsity"]
"""What may differ within one of these; NaN where a method has no such setting. So
group by it with `dropna=False`, and compare it with `matches`."""

CONFIGURATION = [*METHOD, *SETTING, "n_train"]
"""What the rows of the mAP table compare."""

PAIR = ["seed", "selection_seed"]
"""What they average over."""


@dataclass(frozen=True)
class Expected:
    """What the AP files of a study hold, no more and no less."""

    study: str
    """What the configuration calls it."""
    dataset: str
    """Whose traits were looked for."""
    runs: tuple[str, ...]
    """Of each family, such as clip/layer3/random,clip/layer7/random:k8-seed0."""
    n_train: tuple[int | Literal["all"], ...]
    """On how many training images prototypes were chosen, such as 16 256 all."""
    selection_seeds: tuple[int, ...]
    """Which random subsets; all images are one subset, with the first of these."""


def read_ap(
    paths: Sequence[Path], splits: Path, traits: Path, expected: Expected
) -> pd.DataFrame:
    """How well did the chosen prototype find each trait, in all runs of a study?

    Args:
        paths: the `ap.csv` of each family, in any order.
        splits: the CSV file with the splits of the data set's images.
        traits: the NPZ file that says which image shows which trait.
        expected: what the files must hold.

    Returns:
        All rows, sorted by configuration, pair of seeds and trait.

    Raises:
        ValueError: a file is another study's; a run, a subset of the training images or
            a trait is missing or too much; or see `read_rows`.
    """
    ap = read_rows(paths, expected)
    check_expected(runs_of(ap), expected.runs, "the table of AP")
    _check_subsets(ap, splits, expected)
    found = set(ap["trait"])
    wanted = set(TraitLabels.load(traits).trait_names)
    if found != wanted:
        missing, surplus = sorted(wanted - found), sorted(found - wanted)
        says = f"lacks the trait {missing[0]}" if missing else ""
        if not missing:
            says = f"holds the trait {surplus[0]}, which {traits} does not have"
        raise ValueError(f"the table of AP {says}: select prototypes again")
    return ap


def read_rows(paths: Sequence[Path], expected: Expected | None) -> pd.DataFrame:
    """How well did the chosen prototype find each trait, in the runs that are there?

    Args:
        paths: CSV files with the columns of `COLUMNS`, in any order of files. A
            row without prototype is a trait that none of the `n_train` images
            shows; a row without test AP one that no test image shows.
        expected: whose files these must be; None where anybody's will do.

    Returns:
        All rows, sorted by configuration, pair of seeds and trait.

    Raises:
        ValueError: columns differ, a value is no number or no share, a run stands
            in two files or lacks traits or sizes of the others, or the files hold
            more than one data set or give a trait different prevalences.
    """
    # Sorted, so that no message depends on the order of the files either.
    tables = {path: _read_file(path) for path in sorted(paths)}
    if expected is not None:
        for path, table in tables.items():
            _check_study(path, table, expected)
    ap = pd.concat(tables.values(), ignore_index=True)
    datasets = sorted(ap["dataset"].unique())
    if len(datasets) != 1:
        raise ValueError(
            f"the AP files hold {len(datasets)} data sets ({', '.join(datasets)}): a "
            "table compares runs on one"
        )
    key = [*CONFIGURATION, *PAIR, "trait"]
    twice = ap.duplicated(key)
    if twice.any():
        row = _describe(ap.loc[twice].iloc[0], key)
        raise ValueError(
            f"{twice.sum()} rows of the AP files stand there twice, the first: {row}: "
            "give each file once, and only files of different runs"
        )
    _check_traits(ap)
    _check_runs(ap)
    return ap.sort_values(key, ignore_index=True)


def matches(rows: pd.DataFrame, row: pd.Series, columns: list[str]) -> pd.Series:
    """Which rows agree with `row` in these columns? Two NaN agree."""
    agree = pd.Series(True, index=rows.index)
    for column in columns:
        value = row[column]
        agree &= rows[column].isna() if pd.isna(value) else rows[column] == value
    return agree


def _read_file(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip()
    if header != ",".join(COLUMNS):
        raise ValueError(
            f"{path}: expected the columns {','.join(COLUMNS)}, got "
            f"{header or 'nothing'}"
        )
    try:
        ap = pd.read_csv(
            path,
            dtype=COLUMNS,
            keep_default_na=False,
            na_values={column: [""] for column in MAY_BE_EMPTY},
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    _check_values(path, ap)
    return ap


def _check_study(path: Path, ap: pd.DataFrame, expected: Expected) -> None:
    """Refuse the file of another study."""
    for column in ("study", "dataset"):
        found = ", ".join(sorted(ap[column].unique())) or "nothing"
        wanted = getattr(expected, column)
        if found != wanted:
            raise ValueError(
                f"{path} is of the {column} {found}, expected {wanted}: delete it and "
                "select prototypes again"
            )


def _check_subsets(ap: pd.DataFrame, splits: Path, expected: Expected) -> None:
    """Refuse a run that lacks a subset of the training images, or has a surplus one."""
    n_all = int((read_splits(splits)["split"] == "train").sum())
    sizes = {n_all if n == "all" else n for n in expected.n_train}
    seeds = expected.selection_seeds
    wanted = {(n, seed) for n in sizes for seed in (seeds[:1] if n == n_all else seeds)}
    run = [*FAMILY, "n_prototypes", *SETTING, "seed"]
    pairs = ap[[*run, "n_train", "selection_seed"]].drop_duplicates()
    for _, rows in pairs.groupby(run, dropna=False):
        found = set(zip(rows["n_train"], rows["selection_seed"], strict=True))
        if found != wanted:
            words = (
                {f"n_train {size} of selection seed {seed}" for size, seed in some}
                for some in (wanted - found, found - wanted)
            )
            missing, surplus = words
            difference = describe_difference(missing, surplus)
            raise ValueError(
                f"the run with {_describe(rows.iloc[0], run)} {difference}: select its "
                "prototypes again"
            )


def _check_values(path: Path, ap: pd.DataFrame) -> None:
    shares = ap[["train_ap", "test_ap", "prevalence"]]
    selected = ap["prototype"].notna()
    not_chance = (ap["test_ap"] - ap["prevalence"]).abs() > 1e-6
    mistakes = {
        "an AP or a prevalence is not between 0 and 1": (
            (shares < 0) | (shares > 1)
        ).any(axis=1),
        "prototype and train_ap go together, one is empty": (
            selected != ap["train_ap"].notna()
        ),
        "test_ap must be empty where no test image shows the trait, and only there": (
            ap["test_ap"].isna() != (ap["prevalence"] == 0)
        ),
        "without a prototype, test_ap must be the prevalence": ~selected & not_chance,
        "n_alive is not between 0 and n_prototypes": (
            ~ap["n_alive"].between(0, ap["n_prototypes"])
        ),
    }
    for mistake, bad in mistakes.items():
        if bad.any():
            i_row = int(bad.to_numpy().argmax())
            row = _describe(ap.iloc[i_row], list(COLUMNS))
            raise ValueError(f"{path}, line {i_row + 2}: {mistake}: {row}")


def _describe(row: pd.Series, columns: list[str]) -> str:
    said = [column for column in columns if not pd.isna(row[column])]
    return ", ".join(f"{column} {row[column]}" for column in said)


def _check_traits(ap: pd.DataFrame) -> None:
    """Refuse runs that were tested on other traits or other images."""
    n_prevalences = ap.groupby("trait")["prevalence"].nunique()
    if (n_prevalences > 1).any():
        trait = n_prevalences.idxmax()
        values = sorted(ap.loc[ap["trait"] == trait, "prevalence"].unique())
        raise ValueError(
            f"the AP files give the trait {trait} different prevalences, "
            f"{' and '.join(map(str, values[:2]))}: they were tested on different "
            "images or labels"
        )
    n_traits = ap.groupby([*CONFIGURATION, *PAIR], dropna=False)["trait"].size()
    lacking = n_traits < len(n_prevalences)
    if lacking.any():
        key = n_traits.index.to_frame(index=False)[lacking.to_numpy()].iloc[0]
        its = ap.loc[matches(ap, key, list(key.index)), "trait"]
        trait = min(set(n_prevalences.index) - set(its))
        raise ValueError(
            f"a run has {len(its)} of the {len(n_prevalences)} traits of the others: "
            f"{_first(lacking)}: it lacks {trait}: select its prototypes again"
        )


def _check_runs(ap: pd.DataFrame) -> None:
    """Refuse runs that say two things about themselves, or lack a size of subset."""
    runs = ap.groupby([*METHOD, *SETTING, "seed"], dropna=False)
    differ = runs["n_alive"].nunique() > 1
    if differ.any():
        raise ValueError(
            f"a run has different numbers of alive prototypes: {_first(differ)}: "
            "select its prototypes again"
        )
    sizes = set(ap["n_train"])
    lacking = runs["n_train"].nunique() < len(sizes)
    if lacking.any():
        raise ValueError(
            f"a run lacks some n_train of {', '.join(map(str, sorted(sizes)))}, which "
            f"others have: {_first(lacking)}: select its prototypes again"
        )


def _first(is_bad: pd.Series) -> str:
    """The first of a group that is bad, by the levels of the index."""
    groups = is_bad.index.to_frame(index=False)
    return _describe(groups[is_bad.to_numpy()].iloc[0], list(groups.columns))
