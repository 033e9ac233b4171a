"""What the tables of a study say about each trait in one layer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vitproto.report.shared.markdown import TextTable, widen
from vitproto.report.shared.typed_csv import read_typed
from vitproto.report.shared.wording import (
    write_bracketed,
    write_count,
    write_number,
    write_share,
)
from vitproto.report.traits.answer import Place
from vitproto.report.traits.ap_table import CONFIGURATION
from vitproto.report.traits.ceiling import COLUMNS as CEILING_COLUMNS
from vitproto.report.traits.ceiling import MAY_BE_EMPTY as CEILING_MAY_BE_EMPTY
from vitproto.report.traits.map_table import read_map_csv
from vitproto.report.traits.trait_table import read_trait_intervals
from vitproto.traits.trait_split import TraitSplit


class LayerFacts(NamedTuple):
    """The AP of all traits in one layer."""

    table: pd.DataFrame
    """The rows of the mAP table of this layer."""
    intervals: pd.DataFrame
    """The rows of `trait_intervals.csv` for the settings chosen on training images."""
    ceiling: pd.DataFrame
    """`n_train`, `trait` and `ceiling`, the AP of a supervised probe."""


@dataclass(frozen=True)
class LayerFiles:
    """The files with the AP of all traits in one layer."""

    map_table: Path
    """The CSV file of tabulate_map.py."""
    trait_intervals: Path
    """The trait_intervals.csv of the layer."""
    ceiling: Path
    """The ceiling.csv of the layer."""


def read_layer_facts(files: LayerFiles, place: Place) -> LayerFacts:
    """Read the AP of all traits in one layer.

    Raises:
        ValueError: a file is damaged or another layer's.
    """
    table = place.keep(read_map_csv(files.map_table))
    measured = read_trait_intervals([files.trait_intervals])
    _check_layer(files.trait_intervals, measured, table)
    chosen = table.loc[table["is_chosen"], CONFIGURATION]
    probes = read_typed(files.ceiling, CEILING_COLUMNS, CEILING_MAY_BE_EMPTY)
    _check_layer(files.ceiling, probes, table)
    pooling = table[["n_train", "ceiling_pooling"]].drop_duplicates()
    own = probes.merge(
        pooling.rename(columns={"ceiling_pooling": "pooling"}),
        on=["n_train", "pooling"],
    )
    means = own.groupby(["n_train", "trait"])["test_ap"].mean()
    ceilings = means.rename("ceiling").reset_index()
    return LayerFacts(table, measured.merge(chosen, on=CONFIGURATION), ceilings)


def _check_layer(path: Path, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    place = table.iloc[0]
    other = rows[
        (rows["encoder"] != place["encoder"]) | (rows["layer"] != place["layer"])
    ]
    if len(other) or rows.empty:
        named = "nothing"
        if len(other):
            first = other.iloc[0]
            named = f"layer {first['layer']} of {first['encoder']}"
        raise ValueError(
            f"{path} is about {named}, expected layer {place['layer']} of "
            f"{place['encoder']}: name the file of that layer"
        )


def tabulate_trait(
    facts: LayerFacts,
    trait: str,
    shown: Mapping[str, int],
    unselected: Collection[str],
    n_training: int,
) -> tuple[TextTable, TextTable]:
    """AP of a trait for each method, over `n_train`.

    Args:
        facts: the AP of all traits.
        trait: the trait; without a test image that shows it, tables are empty.
        shown: the number of prototypes of each method that is shown, by method, in the
            order of the rows.
        unselected: the methods in which no prototype could be chosen on the most
            training images; their AP is chance, and left out.
        n_training: the training images that show the trait; if there are none, tables
            are empty.

    Returns:
        The table of the numbers that are shown, which ends with the supervised probe,
        and that of all other numbers.
    """
    rows = facts.intervals[facts.intervals["trait"] == trait]
    order = {method: i for i, method in enumerate(shown)}
    rows = rows.assign(order=rows["method"].map(order))
    rows = rows.sort_values(["order", "n_prototypes", "n_train"])
    largest = rows["n_train"].max()
    is_chance = rows["method"].isin(unselected) & (rows["n_train"] == largest)
    # Without an image to learn from, all is chance, the probe's AP too.
    rows = rows[~is_chance & (n_training > 0)]
    heads = [write_count(n, "image") for n in sorted(rows["n_train"].unique())]
    is_shown = rows["n_prototypes"] == rows["method"].map(shown)
    probes = facts.ceiling[facts.ceiling["trait"] == trait]
    supervised = [
        (("supervised probe", ""), write_count(n, "image"), write_number(ap))
        for n, ap in zip(probes["n_train"], probes["ceiling"], strict=True)
        if heads
    ]
    left = {"Method": "<", "Prototypes": ">"}
    return (
        widen(left, heads, [*_list_cells(rows[is_shown]), *supervised]),
        widen(left, heads, _list_cells(rows[~is_shown])),
    )


def _list_cells(rows: pd.DataFrame) -> list[tuple[tuple[str, ...], str, str]]:
    return [
        (
            (row.method, f"{row.n_prototypes:,}"),
            write_count(row.n_train, "image"),
            write_bracketed(row.ap, row.low, row.high),
        )
        for row in rows.itertuples(index=False)
    ]


class Counted(NamedTuple):
    """How many images show a trait, of those of which it is known."""

    n_shows: int
    n_known: int
    n_images: int

    @property
    def share(self) -> float:
        """The prevalence; NaN where nothing is known."""
        return self.n_shows / self.n_known if self.n_known else np.nan

    def __str__(self) -> str:
        """Write them: `134 of 1,200 training images (11.2 %)`, without the noun."""
        text = f"{self.n_shows:,} of {self.n_known:,}"
        return f"{text} ({write_share(self.share)} %)" if self.n_known else text


def count_trait(traits: TraitSplit, t: int) -> dict[str, Counted]:
    """Count the images with a trait in each split, `train` and `test`."""
    counts = {}
    for split, here_N in (("train", traits.is_train_N), ("test", ~traits.is_train_N)):
        known_N = traits.known_NT[:, t] & here_N
        n_shows = int(traits.labels_NT[known_N, t].sum())
        counts[split] = Counted(n_shows, int(known_N.sum()), int(here_N.sum()))
    return counts
