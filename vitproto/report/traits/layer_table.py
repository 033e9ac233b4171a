"""Which layer do prototypes find traits in?"""

import pandas as pd

from vitproto.report.shared.markdown import Section, widen
from vitproto.report.traits.map_table import COMPARED, keep_compared
from vitproto.report.traits.map_text import format_map

LINE = ["encoder", "method", "n_prototypes"]
"""What is followed from layer to layer."""


def tabulate_layers(table: pd.DataFrame) -> pd.DataFrame:
    """How does mAP differ between the layers of an encoder?

    Args:
        table: what `tabulate` gives.

    Returns:
        Its rows at the largest `n_train`, with the setting chosen in each layer, of
        each encoder, method and number of prototypes that two or more layers have;
        sorted by these and by layer.
    """
    rows = keep_compared(table)
    n_layers = rows.groupby(LINE)["layer"].transform("nunique")
    shown = rows[n_layers > 1].sort_values([*LINE, "layer"], ignore_index=True)
    return shown[COMPARED]


def describe_layers(layers: pd.DataFrame) -> Section:
    """What does a reader see of it?

    Args:
        layers: what `tabulate_layers` gives.
    """
    heading = "Which layer do prototypes find traits in?"
    if layers.empty:
        nothing = (
            "No method has the same number of prototypes in two layers of an encoder: "
            "there is nothing to compare."
        )
        return Section(heading, [nothing], {})
    first = layers.iloc[0]
    meaning = (
        f"mAP on the test images of {first['dataset']}, of prototypes chosen on "
        f"{first['n_train']:,} training images. Constant scores reach "
        f"{first['chance']:.3f}. Layers are blocks, counted from 0. ± is the standard "
        "deviation over the seeds, † marks what is not above chance. Of several "
        "settings of a method, the one with the highest AP on the training images is "
        "shown, in each layer its own."
    )
    names = [f"Layer {layer}" for layer in sorted(layers["layer"].unique())]
    cells = [
        (tuple(row[LINE]), f"Layer {row['layer']}", format_map(row))
        for _, row in layers.iterrows()
    ]
    left = {"Encoder": "<", "Method": "<", "Prototypes": ">"}
    return Section(heading, [meaning], {"mAP by layer": widen(left, names, cells)})
