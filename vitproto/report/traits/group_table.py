"""Comparison of kinds of traits and of attributes: colours, shapes, wings, bills."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vitproto.core.confidence import LEVEL, MIN_GROUPS, MIN_SHOWN_GROUPS
from vitproto.report.shared.markdown import Section, TextTable, widen
from vitproto.report.shared.typed_csv import describe_row, read_together, read_typed
from vitproto.report.shared.wording import write_bracketed, write_count, write_number
from vitproto.report.traits.ap_table import CONFIGURATION, PLACE
from vitproto.report.traits.map_table import keep_compared
from vitproto.report.traits.statistics import GROUPS

COLUMNS = {"dataset": "str", **GROUPS}
"""Columns of `group_table.csv`, and their types."""

MAY_BE_EMPTY = [
    *("learning_rate", "sparsity", "group"),
    *("ap_low", "ap_high", "difference_low", "difference_high"),
]

NAMES = {"kind": "Kind", "group": "Attribute"}
"""Headings of what tables compare."""

SAME = 1e-6
"""Largest difference of an mAP from the mean over its kinds: both have 6 decimals."""


def read_groups(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the AP of kinds of traits and of attributes, of all layers of a study.

    Args:
        paths: the `group_intervals.csv` of each layer, in any order.
    """
    return read_together(
        paths,
        lambda path: read_typed(path, GROUPS, MAY_BE_EMPTY).fillna({"group": ""}),
        [*CONFIGURATION, "kind", "group"],
        "files of kinds of traits",
    )


def read_group_csv(path: Path) -> pd.DataFrame:
    """Read `group_table.csv`: the rows of `tabulate_groups`, with 6 decimals."""
    return read_typed(path, COLUMNS, MAY_BE_EMPTY).fillna({"group": ""})


def tabulate_groups(groups: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Keep the kinds and attributes where most methods can be compared.

    Only for the encoders and layers with the most methods, and there for the largest
    number of prototypes that two methods share.

    Args:
        groups: the rows of `read_groups`.
        table: the rows of `tabulate_configurations`.

    Returns:
        `COLUMNS`: a row for each place, method and kind, with an empty `group`, and one
        for each place, method and attribute, for chosen settings and the largest
        `n_train` only. `ap` is the test AP, mean over the traits, then over the pairs
        of seeds; `chance` the expected AP of a random ranking, mean over the traits;
        `difference` is `ap` minus `chance`. `n_groups` are the classes of test images
        that show one of the traits.

    Raises:
        ValueError: the groups are of other configurations than the table.
    """
    compared = keep_compared(table)
    _check(compared, groups)
    merged = compared[["dataset", *CONFIGURATION]].merge(
        groups, on=CONFIGURATION, how="left"
    )
    rows = _keep_places(merged)
    order = [*PLACE, "method", "kind", "group"]
    return rows.sort_values(order, ignore_index=True)[list(COLUMNS)]


def _check(compared: pd.DataFrame, groups: pd.DataFrame) -> None:
    """Refuse kinds of traits that do not add up to the mAP of a row."""
    kinds = groups[groups["group"] == ""]
    sums = kinds.assign(total=kinds["ap"] * kinds["n_traits"])
    sums = sums.groupby(CONFIGURATION, dropna=False)[["total", "n_traits"]].sum()
    mean = (sums["total"] / sums["n_traits"]).rename("mean").reset_index()
    both = compared[["map", *CONFIGURATION]].merge(mean, on=CONFIGURATION, how="left")
    apart = ~((both["map"] - both["mean"]).abs() <= SAME)
    if apart.any():
        row = describe_row(both[apart].iloc[0], CONFIGURATION)
        raise ValueError(
            f"the kinds of traits do not add up to the mAP of {row}: give the files of "
            "all layers of the study, or run compare_methods again"
        )


def _keep_places(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the places where most methods can be compared, with most prototypes."""
    n_methods = rows.groupby(["encoder", "layer"])["method"].transform("nunique")
    rows = rows[n_methods == n_methods.max()]
    n_sharing = rows.groupby(PLACE)["method"].transform("nunique")
    rows = rows[n_sharing >= min(2, n_methods.max())]
    largest = rows.groupby(["encoder", "layer"])["n_prototypes"].transform("max")
    return rows[rows["n_prototypes"] == largest]


def name_place(row: pd.Series) -> str:
    """Name the place where methods are compared."""
    n_prototypes = write_count(row["n_prototypes"], "prototype")
    return f"{row['encoder']}, layer {row['layer']}, {n_prototypes}"


def describe_groups(groups: pd.DataFrame) -> Section:
    """Show the comparison of kinds and attributes, with an explanation.

    Args:
        groups: the rows of `tabulate_groups`.
    """
    first = groups.iloc[0]
    meaning = (
        f"AP on the test images of {first['dataset']}, of prototypes chosen on "
        f"{first['n_train']:,} training images: mean over the traits of a kind or "
        f"of an attribute, and over the seeds. {explain_intervals(groups)} Chance is "
        "the AP of a random ranking of the test images, mean over all such rankings "
        "and these traits; the CSV file has differences from it. Of several settings "
        "of a method, the one with the highest AP on the training images is shown."
    )
    tables = {}
    for _, rows in groups.groupby(PLACE):
        place = name_place(rows.iloc[0])
        is_kind = rows["group"] == ""
        tables[f"Kinds of traits: {place}"] = _widen(rows[is_kind], "kind")
        tables[f"Attributes: {place}"] = _widen(rows[~is_kind], "group")
    return Section("Kinds of traits compared", [meaning], tables)


def _widen(rows: pd.DataFrame, name: str) -> TextTable:
    """A row for each kind or attribute, and a column for each method."""
    left = {NAMES[name]: "<", "Traits": ">", "Chance": ">"}
    cells = [
        (
            (row[name], row["n_traits"], write_number(row["chance"])),
            row["method"],
            write_bracketed(row["ap"], row["ap_low"], row["ap_high"]),
        )
        for _, row in rows.iterrows()
    ]
    return widen(left, sorted(rows["method"].unique()), cells)


def explain_intervals(groups: pd.DataFrame) -> str:
    """Say what the brackets hold, and where there are none."""
    has_interval = groups["ap_low"].notna()
    if not has_interval.any():
        return (
            "There are no intervals: the classes of test images are too few (at least "
            f"{MIN_GROUPS})."
        )
    text = (
        f"Brackets are {LEVEL} % intervals over the test images, drawn by class, and "
        "over fit and selection seeds, where there are several. So are those of "
        "differences in the CSV file."
    )
    if not has_interval.all():
        text += (
            f" There are none for traits that fewer than {MIN_SHOWN_GROUPS} classes "
            "show."
        )
    return text
