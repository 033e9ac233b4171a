"""Comparison of encoders, each in its best layer."""

import pandas as pd

from vitproto.report.shared.markdown import Section, widen
from vitproto.report.traits.map_table import COLUMNS, keep_compared
from vitproto.report.traits.map_text import explain_maps, format_map

LINE = ["n_prototypes", "method"]
"""Columns of what is compared between encoders."""


def choose_layers(table: pd.DataFrame) -> dict[str, int]:
    """Choose the layer of each encoder that is best on training images.

    It has the highest mean of `train_map` over the methods and numbers of prototypes
    that all layers of the encoder share, or, if they share none, over those of each
    layer. It is the first of equals.

    Args:
        table: the rows of `tabulate_configurations`.
    """
    chosen = {}
    for encoder, rows in keep_compared(table).groupby("encoder"):
        train_map = rows.pivot(index=LINE, columns="layer", values="train_map")
        shared = train_map.dropna()
        means = (train_map if shared.empty else shared).mean()
        chosen[str(encoder)] = int(means.idxmax())
    return chosen


def tabulate_encoders(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that compare encoders, each in its best layer.

    Args:
        table: the rows of `tabulate_configurations`.

    Returns:
        The rows at the largest `n_train`, with the chosen settings and layers, of each
        number of prototypes and method that two or more encoders share; sorted by
        these and by encoder.
    """
    rows = keep_compared(table)
    rows = rows[rows["layer"] == rows["encoder"].map(choose_layers(table))]
    n_encoders = rows.groupby(LINE)["encoder"].transform("nunique")
    shown = rows[n_encoders > 1].sort_values([*LINE, "encoder"], ignore_index=True)
    return shown[list(COLUMNS)]


def name_encoder(row: pd.Series) -> str:
    """Name an encoder and its layer."""
    return f"{row['encoder']}, layer {row['layer']}"


def describe_encoders(encoders: pd.DataFrame) -> Section:
    """Show the comparison of encoders, with an explanation.

    Args:
        encoders: the rows of `tabulate_encoders`.
    """
    heading = "Encoders compared"
    if encoders.empty:
        nothing = (
            "No method has the same number of prototypes in two encoders, so there is "
            "nothing to compare."
        )
        return Section(heading, [nothing], {})
    meaning = (
        f"{explain_maps(encoders)} Settings and layers are chosen on training images: "
        "of several layers of an encoder, the one with the highest AP there, mean over "
        "the methods and numbers of prototypes that all of them share."
    )
    names = dict.fromkeys(
        name_encoder(row) for _, row in encoders.sort_values("encoder").iterrows()
    )
    cells = [
        (tuple(row[LINE]), name_encoder(row), format_map(row))
        for _, row in encoders.iterrows()
    ]
    left = {"Prototypes": ">", "Method": "<"}
    table = widen(left, list(names), cells)
    return Section(heading, [meaning], {"mAP by encoder": table})
