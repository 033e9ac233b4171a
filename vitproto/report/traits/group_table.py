"""Comparison of kinds of traits and of attributes: colours, shapes, wings, bills."""

import pandas as pd

from vitproto.report.shared.markdown import Section, widen
from vitproto.report.shared.runs import SETTING
from vitproto.report.traits.ap_table import PAIR, PLACE
from vitproto.report.traits.chosen_settings import keep_chosen
from vitproto.report.traits.trait_groups import find_group, find_kind

COLUMNS = [
    "dataset",
    *PLACE,
    "method",
    *SETTING,
    "n_train",
    "kind",
    "group",
    "n_traits",
    "ap",
    "ap_sd",
    "chance",
    "difference",
]
"""Columns of `group_table.csv`."""


def tabulate_groups(ap: pd.DataFrame) -> pd.DataFrame:
    """Average test AP over the traits of each kind, and of each attribute.

    Only for the encoders and layers with the most methods, and there for the largest
    number of prototypes that two methods share.

    Args:
        ap: the rows of `read_ap`.

    Returns:
        A row for each place, method and kind, with an empty `group`, and one for each
        place, method and group. `ap` is the test AP, mean over the traits, then over
        the pairs of seeds; `ap_sd` the standard deviation over these, NaN for a single
        pair; `chance` the mean prevalence; `difference` is `ap` minus `chance`. It
        holds chosen settings and the largest `n_train` only.
    """
    rows = _keep_places(keep_chosen(ap[ap["test_ap"].notna()]))
    group = rows["trait"].map(find_group)
    rows = rows.assign(kind=rows["trait"].map(find_kind), group=group)
    tables = [_average(rows.assign(group="")), _average(rows)]
    order = [*PLACE, "method", "kind", "group"]
    return pd.concat(tables).sort_values(order, ignore_index=True)[COLUMNS]


def _keep_places(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the places where most methods can be compared, with most prototypes."""
    n_methods = rows.groupby(["encoder", "layer"])["method"].transform("nunique")
    rows = rows[n_methods == n_methods.max()]
    n_sharing = rows.groupby(PLACE)["method"].transform("nunique")
    rows = rows[n_sharing >= min(2, n_methods.max())]
    largest = rows.groupby(["encoder", "layer"])["n_prototypes"].transform("max")
    return rows[rows["n_prototypes"] == largest]


def _average(rows: pd.DataFrame) -> pd.DataFrame:
    what = ["dataset", *PLACE, "method", *SETTING, "n_train", "kind", "group"]
    pairs = rows.groupby([*what, *PAIR], dropna=False).agg(
        ap=("test_ap", "mean"),
        chance=("prevalence", "mean"),
        n_traits=("trait", "size"),
    )
    table = pairs.groupby(what, dropna=False).agg(
        ap=("ap", "mean"),
        ap_sd=("ap", "std"),
        chance=("chance", "first"),
        n_traits=("n_traits", "first"),
    )
    return table.assign(difference=table["ap"] - table["chance"]).reset_index()


def name_place(row: pd.Series) -> str:
    """Name the place where methods are compared."""
    return f"{row['encoder']}, layer {row['layer']}, {row['n_prototypes']} prototypes"


def describe_groups(groups: pd.DataFrame) -> Section:
    """Show the comparison of kinds and attributes, with an explanation.

    Args:
        groups: the rows of `tabulate_groups`.
    """
    first = groups.iloc[0]
    meaning = (
        f"AP on the test images of {first['dataset']}, of prototypes chosen on "
        f"{first['n_train']:,} training images: mean over the traits of a kind or "
        "of an attribute, and over the seeds. Brackets hold the difference from "
        "chance, which is the mean share of test images that show these traits. Of "
        "several settings of a method, the one with the highest AP on the training "
        "images is shown."
    )
    tables = {}
    for _, rows in groups.groupby(PLACE):
        place = name_place(rows.iloc[0])
        methods = sorted(rows["method"].unique())
        cells = [
            (_left(row), row["method"], f"{row['ap']:.3f} ({row['difference']:+.3f})")
            for _, row in rows.iterrows()
        ]
        left = {"Kind": "<", "Attribute": "<", "Traits": ">", "Chance": ">"}
        kinds = [(key[:1] + key[2:], *rest) for key, *rest in cells if not key[1]]
        attributes = [cell for cell in cells if cell[0][1]]
        without = {name: side for name, side in left.items() if name != "Attribute"}
        tables[f"Kinds of traits: {place}"] = widen(without, methods, kinds)
        tables[f"Attributes: {place}"] = widen(left, methods, attributes)
    return Section("Kinds of traits compared", [meaning], tables)


def _left(row: pd.Series) -> tuple[str | int, ...]:
    return row["kind"], row["group"], row["n_traits"], f"{row['chance']:.3f}"
