"""The learning rate and sparsity that represent a method, chosen on training images.

A trained method can have several settings at one number of prototypes. Choosing on the
test images would favour methods with many settings; choosing on all training images
would lend rows with few labels what many labels say.
"""

import pandas as pd

from vitproto.report.traits.ap_table import CONFIGURATION, METHOD


def rank_settings(ap: pd.DataFrame) -> pd.DataFrame:
    """Rate each setting on the training images of each `n_train`; mark the chosen one.

    Args:
        ap: the rows of `read_ap`.

    Returns:
        A row for each encoder, layer, method, number of prototypes, setting and
        `n_train`, sorted by these, with

        - `train_map`: AP of the chosen prototypes on the training images that they
          were chosen on: mean over the traits for which a prototype could be chosen,
          then over the pairs of seeds;
        - `is_chosen`: True for the setting with the highest `train_map` at this
          `n_train`, the first of equals;
        - `n_settings`: the number of settings to choose from.
    """
    pairs = ap.groupby([*CONFIGURATION, "seed", "selection_seed"], dropna=False)
    settings = pairs["train_ap"].mean().groupby(CONFIGURATION, dropna=False).mean()
    ranked = settings.rename("train_map").reset_index()
    # Settings are equal if no trait has a prototype.
    train_map = ranked["train_map"].fillna(0)
    groups = train_map.groupby([ranked[column] for column in [*METHOD, "n_train"]])
    ranked["is_chosen"] = ranked.index == groups.transform("idxmax")
    ranked["n_settings"] = groups.transform("size")
    return ranked


def keep_chosen(ap: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of the setting that is chosen at each `n_train`.

    Args:
        ap: the rows of `read_ap`.
    """
    ranked = rank_settings(ap)
    chosen = ranked.loc[ranked["is_chosen"], CONFIGURATION]
    return ap.merge(chosen, on=CONFIGURATION)


def keep_largest(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows that were chosen on the most training images."""
    return rows[rows["n_train"] == rows["n_train"].max()]
