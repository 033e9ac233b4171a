"""Which learning rate and sparsity stand for a method? Those chosen on training images.

A method that is trained can have several settings at one number of prototypes. To take
the one that does best on the test images would favour methods with many settings.
"""

import pandas as pd

from vitproto.report.traits.ap_table import METHOD, SETTING


def rank_settings(ap: pd.DataFrame) -> pd.DataFrame:
    """How well does each setting do on training images, and which is chosen?

    Args:
        ap: what `read_ap` gives.

    Returns:
        A row for each encoder, layer, method, number of prototypes and setting,
        sorted by these, with

        - `train_map`: AP of the chosen prototypes on the training images that chose
          them, at the largest `n_train`: mean over the traits that could choose, then
          over the pairs of seeds;
        - `is_chosen`: whether that is the highest of the settings, the first if
          several are;
        - `n_settings`: how many there are to choose from.
    """
    largest = ap[ap["n_train"] == ap["n_train"].max()]
    pairs = largest.groupby(
        [*METHOD, *SETTING, "seed", "selection_seed"], dropna=False
    )["train_ap"].mean()
    settings = pairs.groupby([*METHOD, *SETTING], dropna=False).mean()
    ranked = settings.rename("train_map").reset_index()
    # Where no trait could choose, settings are equal.
    train_map = ranked["train_map"].fillna(0)
    groups = train_map.groupby([ranked[column] for column in METHOD])
    ranked["is_chosen"] = ranked.index == groups.transform("idxmax")
    ranked["n_settings"] = groups.transform("size")
    return ranked


def keep_chosen(ap: pd.DataFrame) -> pd.DataFrame:
    """The rows that methods are compared by: chosen settings, the largest `n_train`.

    Args:
        ap: what `read_ap` gives.
    """
    largest = ap[ap["n_train"] == ap["n_train"].max()]
    ranked = rank_settings(ap)
    chosen = ranked.loc[ranked["is_chosen"], [*METHOD, *SETTING]]
    return largest.merge(chosen, on=[*METHOD, *SETTING])


def name_setting(row: pd.Series) -> str:
    """How is a setting called? `learning rate 0.001, sparsity 32`, or nothing."""
    values = [(column, row[column]) for column in SETTING if not pd.isna(row[column])]
    return ", ".join(f"{name.replace('_', ' ')} {value:.12g}" for name, value in values)
