"""The answer of a trait study: a few sentences and a matrix of methods.

They are about the first encoder and layer of the study's `runs`, at the largest
`n_train`; each method has the setting that is best on training images.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vitproto.core.confidence import SIGNIFICANT
from vitproto.report.shared.markdown import TextTable, with_html, write_markdown
from vitproto.report.shared.wording import (
    CONTROL_BADGE,
    join_names,
    write_all,
    write_bracketed,
    write_count,
    write_number,
)
from vitproto.report.traits.comparison_table import compare_with_best
from vitproto.report.traits.map_table import CEILING
from vitproto.report.traits.map_text import (
    explain_interval,
    format_map,
    list_single_fits,
)
from vitproto.report.traits.statistics import NULL_PERCENTILE

MAX_METHODS = 20
"""Methods in the matrix and in the tables beside it, the best ones."""


@dataclass(frozen=True)
class Place:
    """The layer that the answer is about."""

    encoder: str
    """The encoder of the first of the study's runs."""
    layer: int
    """The layer of that run."""

    def keep(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of this place."""
        here = (rows["encoder"] == self.encoder) & (rows["layer"] == self.layer)
        return rows[here]

    def __str__(self) -> str:
        return f"{self.encoder}, layer {self.layer}"


class Answer(NamedTuple):
    """The answer of a trait study."""

    sentences: list[str]
    matrix: TextTable
    legend: str

    def in_markdown(self) -> str:
        """The text of `answer.md`."""
        return write_markdown(" ".join(self.sentences), self.matrix, self.legend)


class Quoted(NamedTuple):
    """What `answer.md` says."""

    text: str
    matrix: TextTable
    legend: str


def read_answer(path: Path) -> Quoted:
    """Read `answer.md`, to quote it.

    Raises:
        ValueError: it is not what `in_markdown` writes.
    """
    blocks = with_html(path.read_text(encoding="utf-8")).strip().split("\n\n")
    if len(blocks) != 3:
        raise ValueError(
            f"{path} has {len(blocks)} paragraphs, expected sentences, a table and its "
            "legend: run tabulate_map again"
        )
    heading, rule, *rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in blocks[1].splitlines()
    ]
    sides = [">" if cell.endswith(":") else "<" for cell in rule]
    matrix = TextTable(dict(zip(heading, sides, strict=True)), rows)
    return Quoted(blocks[0], matrix, blocks[2])


def mark_controls(rows: pd.DataFrame, controls: Collection[str]) -> pd.DataFrame:
    """Add `CONTROL_BADGE` to the names of methods, wherever rows hold them.

    Args:
        rows: rows of the mAP table, of comparisons or of label rules.
        controls: the methods that train nothing.
    """
    named = {method: f"{method} {CONTROL_BADGE}" for method in controls}
    columns = rows.columns.intersection(["method", "method_a", "method_b", "winner"])
    return rows.assign(**{name: rows[name].replace(named) for name in columns})


def find_answer(table: pd.DataFrame, comparisons: pd.DataFrame, place: Place) -> Answer:
    """Say which method finds traits best, and whether that is above chance.

    Args:
        table: the rows of `tabulate_configurations`.
        comparisons: the rows of `tabulate_comparisons`.
        place: the encoder and layer to answer for.
    """
    rows = place.keep(table[table["is_chosen"]])
    rows = rows[rows["n_train"] == rows["n_train"].max()]
    compared = place.keep(comparisons)
    compared = compared[compared["n_train"] == rows["n_train"].max()]
    largest = keep_largest_shared(rows)
    sentences = [
        _write_winner(largest, compared, place),
        _write_single_fits(largest),
        _write_null(rows),
        _write_ceiling(largest),
    ]
    matrix = _write_matrix(rows, compared)
    return Answer([s for s in sentences if s], matrix, _write_legend(rows, compared))


def keep_largest_shared(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the largest number of prototypes that two methods have, or any has.

    Args:
        rows: rows of the mAP table in one place, at one `n_train`.
    """
    n_methods = rows.groupby("n_prototypes")["method"].transform("nunique")
    shared = rows[n_methods >= min(2, n_methods.max())]
    return shared[shared["n_prototypes"] == shared["n_prototypes"].max()]


def rank(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by mAP, the highest first; equals by name."""
    return rows.sort_values(["map", "method"], ascending=[False, True])


def not_told_apart(rows: pd.DataFrame, comparisons: pd.DataFrame) -> list[str]:
    """The best method and those that its corrected comparison does not tell apart.

    Args:
        rows: rows of the mAP table with one number of prototypes, one per method.
        comparisons: the comparisons of these.
    """
    best, *others = rank(rows)["method"]
    n_prototypes = rows["n_prototypes"].iloc[0]
    own = comparisons[comparisons["n_prototypes"] == n_prototypes]
    seen = compare_with_best(own, best, others)
    return [best, *seen.index[~(seen["p_holm"] < SIGNIFICANT)]]


def _map_of(row: pd.Series) -> str:
    return format_map(row).removesuffix(" †")


def _write_winner(largest: pd.DataFrame, compared: pd.DataFrame, place: Place) -> str:
    best = rank(largest).iloc[0]
    begin = (
        f"With {write_count(best['n_prototypes'], 'prototype')} ({place}), chosen on "
        f"{best['n_train']:,} training images of {best['dataset']},"
    )
    reached = f"mAP {_map_of(best)} on the test images"
    n_others = len(largest) - 1
    if not largest["above_chance"].any():
        which = f"{best['method']} has the highest mAP"
        if n_others == 0:
            which = f"{best['method']}, the only method, has the mAP"
        return (
            f"{begin} no method finds traits: {which}, {_map_of(best)} on the test "
            f"images, which is not above {NULL_PERCENTILE} % of the permutations of "
            "the labels."
        )
    if not best["above_chance"]:
        above = largest.loc[largest["above_chance"], "method"]
        be = "are" if len(above) > 1 else "is"
        return (
            f"{begin} no method wins: {best['method']} has the highest mAP, "
            f"{_map_of(best)}, but it is not above {NULL_PERCENTILE} % of its "
            f"permutations of the labels, as {join_names(sorted(above))} {be} above "
            "theirs."
        )
    if n_others == 0:
        return (
            f"{begin} {best['method']}, the only method with that many, reaches "
            f"{reached}."
        )
    if compared["p_holm"].isna().all():
        return (
            f"{begin} {best['method']} has the highest mAP, {_map_of(best)}, but the "
            f"{best['n_groups']} classes of test images are too few to tell methods "
            "apart."
        )
    # The sentence that follows says which were fitted once.
    as_fitted = ", as fitted here," if list_single_fits(largest) else ""
    alike = not_told_apart(largest, compared)[1:]
    n_worse = n_others - len(alike)
    if not alike:
        than = largest["method"].loc[largest["method"] != best["method"]]
        others = f"{write_all(n_others)} other methods"
        rest = others if n_others > 1 else than.iloc[0]
        return f"{begin} {best['method']}{as_fitted} is better than {rest}: {reached}."
    if n_worse == 0:
        return (
            f"{begin} no method wins: {best['method']} has the highest mAP, "
            f"{_map_of(best)}, but no other is told apart from it."
        )
    be = "are" if len(alike) > 1 else "is"
    return (
        f"{begin} no method wins alone: {best['method']} has the highest mAP, "
        f"{_map_of(best)}, and{as_fitted} is better than {n_worse} of the {n_others} "
        f"others, but {join_names(alike)} {be} not told apart from it."
    )


def _write_single_fits(largest: pd.DataFrame) -> str:
    """Say of which methods one fit was compared, and not what another would give."""
    once = list_single_fits(largest)
    if not once or len(largest) == 1:
        return ""
    if len(once) == len(largest):
        return (
            "Each method was fitted once, so these fits are compared: another seed may "
            "turn the order."
        )
    if len(once) == 1:
        return (
            f"{once[0]} was fitted once, so comparisons with it are about this fit: "
            "another seed may turn the order."
        )
    return (
        f"{join_names(once)} were fitted once, so comparisons with them are about "
        "these fits: another seed may turn the order."
    )


def _write_null(rows: pd.DataFrame) -> str:
    low, high = rows["null"].min(), rows["null"].max()
    between = write_number(low)
    if write_number(low) != write_number(high):
        between += f" to {write_number(high)}"
    begin = (
        f"Prototypes chosen on permuted labels reach a mean mAP of {between}, where a "
        f"random ranking has {write_number(rows['chance'].iloc[0])}"
    )
    n_low, n = int((~rows["above_chance"]).sum()), len(rows)
    if n == 1:
        below = "not " if n_low else ""
        mark = " (†)" if n_low else ""
        return (
            f"{begin}; the mAP of the matrix is {below}above {NULL_PERCENTILE} % of "
            f"the permutations{mark}."
        )
    if n_low == 0:
        return (
            f"{begin}; {write_all(n)} mAPs are above {NULL_PERCENTILE} % of the "
            "permutations, as those of scores that only recognise a class can be."
        )
    be = "is" if n_low == 1 else "are"
    text = (
        f"{begin}; {n_low} of {n} mAPs {be} not above {NULL_PERCENTILE} % of the "
        "permutations (†)."
    )
    if n_low == n:
        return text
    return f"{text} Scores that only recognise a class can be above them, too."


def _write_ceiling(largest: pd.DataFrame) -> str:
    best = rank(largest).iloc[0]
    if pd.isna(best["ceiling"]):
        return ""
    begin = (
        f"A linear probe on {best['ceiling_pooling']}-pooled activations, trained on "
        f"the labels of the same images, reaches {write_bracketed(*best[CEILING])}"
    )
    share = best["ceiling_share"]
    if pd.isna(share):
        return f"{begin}, which is not above a random ranking."
    if share < 0:
        return f"{begin}; the mAP of {best['method']} is below a random ranking's."
    if share > 1:
        return (
            f"{begin}; the mAP of {best['method']} is higher, by a difference that is "
            "not tested."
        )
    return (
        f"{begin}: {best['method']} gets {share:.0%} of the way there from a random "
        "ranking."
    )


def _write_matrix(rows: pd.DataFrame, compared: pd.DataFrame) -> TextTable:
    cells: dict[str, dict[int, str]] = {}
    for n_prototypes, column in rows.groupby("n_prototypes"):
        is_tested = len(column) > 1 and compared["p_holm"].notna().any()
        alike = not_told_apart(column, compared)
        for _, row in column.iterrows():
            star = " *" if row["method"] in alike and is_tested else ""
            cells.setdefault(row["method"], {})[n_prototypes] = format_map(row) + star
    counts = sorted(rows["n_prototypes"].unique())
    best = rows.sort_values(["n_prototypes", "map"]).groupby("method").last()
    order = best.sort_values(["n_prototypes", "map"], ascending=False).index
    order = order[:MAX_METHODS]
    heads = {"Method": "<"} | {write_count(n, "prototype"): "<" for n in counts}
    body = [[name, *(cells[name].get(n, "") for n in counts)] for name in order]
    return TextTable(heads, body)


def _write_legend(rows: pd.DataFrame, compared: pd.DataFrame) -> str:
    star = (
        " * has the highest mAP of its column, or is not told apart from it: paired "
        f"differences on the same test images, p < {SIGNIFICANT:g} after Holm's "
        f"correction for the {write_count(len(compared), 'comparison')} of two methods "
        "at equal numbers of prototypes."
    )
    legend = explain_interval(rows)
    n_methods = rows["method"].nunique()
    if n_methods > MAX_METHODS:
        legend = f"The {MAX_METHODS} best of {n_methods} methods. {legend}"
    if rows["method"].str.endswith(CONTROL_BADGE).any():
        legend += f" {CONTROL_BADGE} marks an autoencoder that nothing has trained."
    return legend + (star if compared["p_holm"].notna().any() else "")
