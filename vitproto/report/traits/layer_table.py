"""Comparison of the layers of each encoder."""

import pandas as pd

from vitproto.report.shared.markdown import Section, widen
from vitproto.report.traits.map_table import COLUMNS, keep_compared
from vitproto.report.traits.map_text import explain_maps, format_map

LINE = ["encoder", "method", "n_prototypes"]
"""Columns of what is compared between layers."""


def tabulate_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that compare the layers of an encoder.

    Args:
        table: the rows of `tabulate_configurations`.

    Returns:
        The rows at the largest `n_train`, with the setting chosen in each layer, of
        each encoder, method and number of prototypes that two or more layers share;
        sorted by these and by layer.
    """
    rows = keep_compared(table)
    n_layers = rows.groupby(LINE)["layer"].transform("nunique")
    shown = rows[n_layers > 1].sort_values([*LINE, "layer"], ignore_index=True)
    return shown[list(COLUMNS)]


def describe_layers(layers: pd.DataFrame) -> Section:
    """Show the comparison of layers, with an explanation.

    Args:
        layers: the rows of `tabulate_layers`.
    """
    heading = "Layers compared"
    if layers.empty:
        nothing = (
            "No method has the same number of prototypes in two layers of an encoder, "
            "so there is nothing to compare."
        )
        return Section(heading, [nothing], {})
    meaning = (
        f"{explain_maps(layers)} Layers are blocks, counted from 0. Of several "
        "settings of a method, the one with the highest AP on the training images is "
        "shown, chosen in each layer separately."
    )
    names = [f"Layer {layer}" for layer in sorted(layers["layer"].unique())]
    cells = [
        (tuple(row[LINE]), f"Layer {row['layer']}", format_map(row))
        for _, row in layers.iterrows()
    ]
    left = {"Encoder": "<", "Method": "<", "Prototypes": ">"}
    return Section(heading, [meaning], {"mAP by layer": widen(left, names, cells)})
