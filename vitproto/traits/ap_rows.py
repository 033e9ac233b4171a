"""The rows of ap.csv."""

from collections.abc import Sequence

import pandas as pd

from vitproto.study.family import ScoredFamily
from vitproto.study.run import Run
from vitproto.traits.selection import Selection, to_table
from vitproto.traits.trait_split import TraitSplit


def to_ap_rows(
    selections: Sequence[Selection],
    images: TraitSplit,
    study: str,
    family: ScoredFamily,
    fitted: Run,
    n_alive: int,
) -> pd.DataFrame:
    """Tabulate what was chosen for a run; each row repeats which run that is.

    Args:
        selections: what was chosen, on each subset.
        images: those that choose and test.
        study: for the column of that name.
        family: that of the run.
        fitted: the run.
        n_alive: how many of its prototypes tell training images apart.
    """
    run_columns = {
        "study": study,
        "dataset": family.dataset,
        "encoder": family.encoder,
        "layer": family.layer,
        "method": family.method,
        "n_prototypes": fitted.n_prototypes,
        "learning_rate": fitted.learning_rate,
        "sparsity": fitted.sparsity,
        "seed": fitted.seed,
        "n_alive": n_alive,
    }
    table = to_table(
        selections, images.trait_names, images.prevalence_T, images.chance_T
    )
    return pd.DataFrame({**run_columns, **table})
