"""Rows as `read_ap` gives them, for tests that plant an answer."""

import numpy as np
import pandas as pd

from vitproto.report.traits.ap_table import COLUMNS

RUN = {
    "study": "small",
    "dataset": "birds",
    "encoder": "tiny",
    "layer": 3,
    "method": "random",
    "n_prototypes": 8,
    "learning_rate": np.nan,
    "sparsity": np.nan,
    "n_train": 100,
    "prevalence": 0.1,
    "chance": 0.12,
}


def ap_rows(traits, ap_ST, train_ap=0.75, **run) -> pd.DataFrame:
    """A run with the test AP of each fit seed and trait; `run` is what it is."""
    run = RUN | run
    tables = [
        pd.DataFrame(
            {
                **run,
                "seed": seed,
                "n_alive": run["n_prototypes"],
                "selection_seed": 0,
                "trait": traits,
                "prototype": pd.Series([0] * len(traits), dtype="Int64"),
                "train_ap": train_ap,
                "test_ap": ap_T,
            }
        )
        for seed, ap_T in enumerate(np.asarray(ap_ST, dtype=float))
    ]
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]
