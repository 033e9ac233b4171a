"""What other label rules would change."""

from typing import NamedTuple

import pandas as pd

from vitproto.report.shared.markdown import TextTable
from vitproto.report.shared.wording import join_names, write_number
from vitproto.report.traits.answer import MAX_METHODS, rank

CERTAINTIES = {1: "not visible", 2: "guessing", 3: "probably", 4: "definitely"}
"""What the certainties of CUB-200-2011 mean."""


class RuleEffects(NamedTuple):
    """What other label rules change."""

    present: tuple[int, ...]
    """The certainties with which a trait counts as present by the study's rule."""
    unknown: tuple[int, ...]
    """The certainties of answers that do not count at all."""
    rules: pd.DataFrame
    """The label rules of `read_statistics`."""


def show_label_rules(rules: pd.DataFrame, rows: pd.DataFrame) -> TextTable:
    """Show by how much other label rules change the mAP of each method.

    Args:
        rules: the label rules of `read_statistics`.
        rows: rows of the mAP table in one place, one per method.
    """
    first = rows.iloc[0]
    for column in ("encoder", "layer", "n_prototypes", "n_train"):
        rules = rules[rules[column] == first[column]]
    names = list(dict.fromkeys(rules["rule"]))
    n_traits = rules.groupby("rule")["n_traits"].first()
    columns = {"Method": "<"} | {f"{name} ({n_traits[name]})": ">" for name in names}
    change = (rules["map"] - rules["configured_map"]).rename("change")
    wide = rules.assign(change=change).pivot(
        index="method", columns="rule", values="change"
    )
    cells = [
        [str(method), *(_write_change(wide.loc[method, name]) for name in names)]
        for method in rank(rows)["method"].head(MAX_METHODS)
        if method in wide.index
    ]
    if cells:
        by_name = rules.drop_duplicates("rule").set_index("rule")
        moved = by_name["chance"] - by_name["configured_chance"]
        cells.append(["(chance)", *(_write_change(moved[name]) for name in names)])
    return TextTable(columns, cells)


def explain_label_rules(
    effects: RuleEffects, rows: pd.DataFrame, comparisons: pd.DataFrame
) -> str:
    """Say what the table of label rules shows, and whether a rule reverses a verdict.

    Args:
        effects: what other label rules change.
        rows: rows of the mAP table in one place, one per method.
        comparisons: the rows of `tabulate_comparisons` in that place.
    """
    text = (
        f"By the rule of all other tables, {_describe(effects)}. This table has the "
        "change of the mAP, and of chance, if test images are labelled by another "
        "rule: the same prototypes, over the traits (their number in brackets) that a "
        "test image shows by both rules."
    )
    first, rules = rows.iloc[0], effects.rules
    for column in ("encoder", "layer", "n_prototypes", "n_train"):
        rules = rules[rules[column] == first[column]]
        comparisons = comparisons[comparisons[column] == first[column]]
    decided = comparisons[comparisons["winner"] != ""]
    if decided.empty:
        return (
            f"{text} No two methods are told apart, so no rule can reverse a verdict."
        )
    reversed_by = []
    for name, own in rules.groupby("rule", sort=False):
        maps = own.set_index("method")["map"]
        lead = maps.reindex(decided["method_a"]).to_numpy()
        lead = lead - maps.reindex(decided["method_b"]).to_numpy()
        n = int((lead * decided["difference"].to_numpy() < 0).sum())
        if n:
            reversed_by.append(f"{n} by the rule “{name}”")
    n_decided = len(decided)
    pairs = "the pair" if n_decided == 1 else f"the {n_decided} pairs"
    if not reversed_by:
        return f"{text} No rule reverses the order of {pairs} told apart."
    return (
        f"{text} Of {pairs} of methods told apart, the order is reversed for "
        f"{join_names(reversed_by)}."
    )


def _write_change(value: float) -> str:
    return f"+{write_number(value)}" if value > 0 else write_number(value)


def _describe(effects: RuleEffects) -> str:
    """Say which answers count as present, absent and unknown."""
    shown = _either([CERTAINTIES[c] for c in sorted(effects.present)])
    text = f"a trait is present if an annotator said so with the certainty {shown}"
    if not effects.unknown:
        return f"{text}, else absent"
    unknown = _either([CERTAINTIES[c] for c in sorted(effects.unknown)])
    return f"{text}, unknown if the certainty is {unknown}, else absent"


def _either(names: list[str]) -> str:
    """`a`, `a or b`, or `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
