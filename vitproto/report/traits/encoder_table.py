"""Which encoder do prototypes find traits in?"""

import pandas as pd

from vitproto.report.shared.markdown import Section, widen
from vitproto.report.traits.map_table import COMPARED, keep_compared
from vitproto.report.traits.map_text import format_map

LINE = ["n_prototypes", "method"]
"""What is compared between encoders."""


def choose_layers(table: pd.DataFrame) -> dict[str, int]:
    """Which layer stands for each encoder? The one that is best on training images.

    The one with the highest mean of `train_map` over what all layers of the encoder
    have: methods and numbers of prototypes. Where they share none, over what each
    has. The first if several are equal.

    Args:
        table: what `tabulate` gives.
    """
    chosen = {}
    for encoder, rows in keep_compared(table).groupby("encoder"):
        train_map = rows.pivot(index=LINE, columns="layer", values="train_map")
        shared = train_map.dropna()
        means = (train_map if shared.empty else shared).mean()
        chosen[str(encoder)] = int(means.idxmax())
    return chosen


def tabulate_encoders(table: pd.DataFrame) -> pd.DataFrame:
    """How does mAP differ between encoders, each in its best layer?

    Args:
        table: what `tabulate` gives.

    Returns:
        Its rows at the largest `n_train`, with the chosen settings and layers, of each
        number of prototypes and method that two or more encoders have there; sorted by
        these and by encoder.
    """
    rows = keep_compared(table)
    rows = rows[rows["layer"] == rows["encoder"].map(choose_layers(table))]
    n_encoders = rows.groupby(LINE)["encoder"].transform("nunique")
    shown = rows[n_encoders > 1].sort_values([*LINE, "encoder"], ignore_index=True)
    return shown[COMPARED]


def name_encoder(row: pd.Series) -> str:
    """How are an encoder and its layer called?"""
    return f"{row['encoder']}, layer {row['layer']}"


def describe_encoders(encoders: pd.DataFrame) -> Section:
    """What does a reader see of it?

    Args:
        encoders: what `tabulate_encoders` gives.
    """
    heading = "Which encoder do prototypes find traits in?"
    if encoders.empty:
        nothing = (
            "No method has the same number of prototypes in two encoders: there is "
            "nothing to compare."
        )
        return Section(heading, [nothing], {})
    first = encoders.iloc[0]
    meaning = (
        f"mAP on the test images of {first['dataset']}, of prototypes chosen on "
        f"{first['n_train']:,} training images. Constant scores reach "
        f"{first['chance']:.3f}. ± is the standard deviation over the seeds, † marks "
        "what is not above chance. Settings and layers are chosen on training images: "
        "of several layers of an encoder, the one with the highest AP there, mean over "
        "the methods and numbers of prototypes that all of them have."
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
