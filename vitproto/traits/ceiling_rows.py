"""The rows of ceiling.csv."""

from collections.abc import Sequence

import pandas as pd

from vitproto.traits.fitted_probes import TraitProbes
from vitproto.traits.pooled_file import PooledLayer
from vitproto.traits.trait_split import TraitSplit


def to_ceiling_rows(
    probes: Sequence[TraitProbes],
    images: TraitSplit,
    study: str,
    layer: PooledLayer,
    pooling: str,
) -> pd.DataFrame:
    """Tabulate the probes of a pooling: a row per subset and trait.

    Args:
        probes: those of all subsets.
        images: those that the probes were fitted to and tested on.
        study: for the column of that name.
        layer: whose activations were pooled.
        pooling: how.
    """
    tables = []
    for fitted in probes:
        regularisation = pd.Series(fitted.regularisation, range(len(fitted.cv_ap_T)))
        columns = {
            "study": study,
            "dataset": layer.dataset,
            "encoder": layer.encoder,
            "layer": layer.layer,
            "pooling": pooling,
            "selection_seed": fitted.selection_seed,
            "n_train": fitted.n_train,
            "trait": images.trait_names,
            "regularisation": regularisation.where(fitted.has_probe_T),
            "cv_ap": fitted.cv_ap_T,
            "train_ap": fitted.train_ap_T,
            "test_ap": fitted.test_ap_T,
            "prevalence": images.prevalence_T,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def in_words(probes: Sequence[TraitProbes], rows: pd.DataFrame) -> str:
    """Sum up a pooling for the log: mAP at each size, and what was chosen."""
    parts = []
    for size, same in rows.groupby("n_train"):
        chosen = sorted({p.regularisation for p in probes if p.n_train == size})
        map_ = same.groupby("selection_seed")["test_ap"].mean().mean()
        values = ", ".join(f"{value:g}" for value in chosen)
        parts.append(f"{size:,} images mAP {map_:.3f} (regularisation {values})")
    return "; ".join(parts)
