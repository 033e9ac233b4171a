"""The learning rate and sparsity that represent a method, chosen on training images.

A trained method can have several settings at one number of prototypes. Choosing on the
test images would favour methods with many settings.
"""

import pandas as pd

from vitproto.report.shared.runs import SETTING
from vitproto.report.traits.ap_table import METHOD


def rank_settings(ap: pd.DataFrame) -> pd.DataFrame:
    """Rate each setting on training images, and mark the chosen one.

    Args:
        ap: the rows of `read_ap`.

    Returns:
        A row for each encoder, layer, method, number of prototypes and setting,
        sorted by these, with

        - `train_map`: AP of the chosen prototypes on the training images that they
          were chosen on, at the largest `n_train`: mean over the traits for which a
          prototype could be chosen, then over the pairs of seeds;
        - `is_chosen`: True for the setting with the highest `train_map`, the first
          of equals;
        - `n_settings`: the number of settings to choose from.
    """
    largest = ap[ap["n_train"] == ap["n_train"].max()]
    pairs = largest.groupby(
        [*METHOD, *SETTING, "seed", "selection_seed"], dropna=False
    )["train_ap"].mean()
    settings = pairs.groupby([*METHOD, *SETTING], dropna=False).mean()
    ranked = settings.rename("train_map").reset_index()
    # Settings are equal if no trait has a prototype.
    train_map = ranked["train_map"].fillna(0)
    groups = train_map.groupby([ranked[column] for column in METHOD])
    ranked["is_chosen"] = ranked.index == groups.transform("idxmax")
    ranked["n_settings"] = groups.transform("size")
    return ranked


def keep_chosen(ap: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that methods are compared by: chosen settings, largest `n_train`.

    Args:
        ap: the rows of `read_ap`.
    """
    largest = ap[ap["n_train"] == ap["n_train"].max()]
    ranked = rank_settings(ap)
    chosen = ranked.loc[ranked["is_chosen"], [*METHOD, *SETTING]]
    return largest.merge(chosen, on=[*METHOD, *SETTING])
