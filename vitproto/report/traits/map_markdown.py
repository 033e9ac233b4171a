"""The mAP table as Markdown: the answer, the study's rows, and what columns mean."""

import pandas as pd

from vitproto.core.confidence import LEVEL, MIN_SHOWN_GROUPS, SIGNIFICANT
from vitproto.report.shared.markdown import TextTable, list_meanings, write_markdown
from vitproto.report.shared.wording import (
    NOTHING,
    write_bracketed,
    write_count,
    write_number,
    write_p_cell,
    write_with_interval,
)
from vitproto.report.traits.answer import (
    MAX_METHODS,
    Answer,
    Place,
    keep_largest_shared,
    rank,
)
from vitproto.report.traits.comparison_table import compare_with_best
from vitproto.report.traits.label_rules import (
    RuleEffects,
    explain_label_rules,
    show_label_rules,
)
from vitproto.report.traits.map_table import CEILING
from vitproto.report.traits.map_text import Images, explain_map_columns, format_map

HEADING = "How well do prototypes find traits?"

MAX_ROWS = 80
"""Most rows of all tables together: more would bury the answer."""

COLUMNS = {
    "Method": "<",
    "Prototypes": ">",
    "Train": ">",
    "mAP": "<",
    "5%": ">",
    "95%": ">",
    "Chance": ">",
    "Permuted": ">",
    "Optimism": ">",
    "Ceiling": ">",
    "Share": ">",
    "Alive": ">",
    "Seeds": ">",
    "Unselected": ">",
}
"""Heading and alignment of each column of the table of rows."""

RANDOM = "random"
"""The method that others are compared with in the table of rows."""


def choose_methods(table: pd.DataFrame, place: Place) -> list[str]:
    """The methods whose rows are shown: `random` and the best trained method.

    The best has the highest AP on training images, at the largest number of prototypes
    and `n_train`. Methods with a learning rate are trained; if there are none, it is
    the best of all others.
    """
    rows = place.keep(table[table["is_chosen"]])
    others = rows[rows["method"] != RANDOM]
    trained = others[others["learning_rate"].notna()]
    among = others if trained.empty else trained
    methods = [RANDOM] if (rows["method"] == RANDOM).any() else []
    if not among.empty:
        largest = among.sort_values(["n_prototypes", "n_train", "train_map"]).iloc[-1]
        methods.append(str(largest["method"]))
    return methods


def show_maps(table: pd.DataFrame) -> TextTable:
    """Format rows of the mAP table for readers.

    Args:
        table: rows of `tabulate_configurations`.
    """
    hidden = set()
    if table["ceiling"].isna().all():
        hidden = {"Ceiling", "Share"}
    columns = {name: side for name, side in COLUMNS.items() if name not in hidden}
    cells = [_format(row) for _, row in table.iterrows()]
    return TextTable(columns, [[row[name] for name in columns] for row in cells])


def _format(row: pd.Series) -> dict[str, str]:
    n_alive = row["n_alive"]
    share = row["ceiling_share"]
    return {
        "Method": row["method"],
        "Prototypes": str(row["n_prototypes"]),
        "Train": str(row["n_train"]),
        "mAP": format_map(row),
        "5%": write_number(row["p5"]),
        "95%": write_number(row["p95"]),
        "Chance": write_number(row["chance"]),
        "Permuted": write_number(row["null_high"]),
        "Optimism": write_number(row["optimism"]),
        "Ceiling": write_bracketed(*row[CEILING]),
        "Share": NOTHING if pd.isna(share) else f"{write_number(100 * share, 0)}%",
        "Alive": f"{n_alive:.0f}" if n_alive == int(n_alive) else f"{n_alive:.1f}",
        "Seeds": str(row["n_seeds"]),
        "Unselected": f"{row['n_unselected']:.1f}",
    }


def show_differences(
    table: pd.DataFrame, comparisons: pd.DataFrame, place: Place
) -> tuple[str, TextTable]:
    """Show how far each method is below the best one, with what is tested.

    Returns:
        A caption and the table; no rows if there is a single method.
    """
    rows = place.keep(table[table["is_chosen"]])
    rows = rows[rows["n_train"] == rows["n_train"].max()]
    rows = rank(keep_largest_shared(rows))
    best, *others = rows["method"].head(MAX_METHODS)
    first = rows.iloc[0]
    own = place.keep(comparisons)
    for column in ("n_prototypes", "n_train"):
        own = own[own[column] == first[column]]
    columns = {
        "Method": "<",
        f"Lead of {best}": "<",
        "with other traits": "<",
        "p": ">",
        "Traits won": ">",
        "not told apart": ">",
        "lost": ">",
        "not tested": ">",
    }
    cells = [
        [
            str(method),
            write_with_interval(row["difference"], row["low"], row["high"]),
            _write_ends(row["low_traits"], row["high_traits"]),
            write_p_cell(row["p_holm"]),
            *(str(row[name]) for name in ("n_won", "n_tied", "n_lost", "n_untested")),
        ]
        for method, row in compare_with_best(own, best, others).iterrows()
    ]
    n_prototypes = write_count(first["n_prototypes"], "prototype")
    caption = (
        f"## Lead of {best}, with {n_prototypes} chosen on {first['n_train']:,} images"
    )
    return caption, TextTable(columns, cells)


def _write_ends(low: float, high: float) -> str:
    if pd.isna(low):
        return NOTHING
    return f"{write_number(low)} to {write_number(high)}"


def write_map_table(
    table: pd.DataFrame,
    comparisons: pd.DataFrame,
    effects: RuleEffects,
    answer: Answer,
    place: Place,
    images: Images,
) -> str:
    """Write the text of `map_table.md`.

    Args:
        table: the rows of `tabulate_configurations`.
        comparisons: the rows of `tabulate_comparisons`.
        effects: what other label rules change.
        answer: what the answer says.
        place: the encoder and layer that it is about.
        images: the images of the study.
    """
    caption, differences = show_differences(table, comparisons, place)
    is_tested = place.keep(comparisons)["p_holm"].notna().any()
    methods = choose_methods(table, place)
    rows = place.keep(table[table["is_chosen"]])
    compared = keep_largest_shared(rows[rows["n_train"] == rows["n_train"].max()])
    by_rule = show_label_rules(effects.rules, compared)
    here = place.keep(comparisons)
    rule_note = explain_label_rules(effects, compared, here)
    rows = rows[rows["method"].isin(methods)]
    rows = pd.concat([rows[rows["method"] == method] for method in methods])
    others = (answer.matrix, differences, by_rule)
    room = MAX_ROWS - sum(len(other.rows) for other in others)
    if len(rows) > room:
        rows = rows[rows["n_train"] == rows["n_train"].max()].head(max(room, 1))
    tests = (
        f"Differences of mAP on the same test images, with {LEVEL} % intervals over "
        "test images and seeds, and, in the next column, over traits too. Each "
        "interval is for a single comparison; p is corrected as in the matrix. A trait "
        f"is won or lost if the paired difference of its AP has p < {SIGNIFICANT:g} "
        "after Holm's correction for the tested traits of all pairs of methods with as "
        "many prototypes and images, else the methods are not told apart by it. A "
        f"trait that fewer than {MIN_SHOWN_GROUPS} classes of test images show is not "
        "tested."
    )
    return write_markdown(
        f"# {HEADING} {table['dataset'].iloc[0]}",
        " ".join(answer.sentences),
        answer.matrix,
        answer.legend,
        *([caption, differences, tests] if is_tested else []),
        f"## mAP of {' and '.join(methods)}",
        show_maps(rows),
        f"{len(rows)} of {len(table)} rows; all are in `map_table.csv`, and all "
        "comparisons in `comparison_table.csv`.",
        *(
            ["## What would other label rules change?", by_rule, rule_note]
            if by_rule.rows
            else []
        ),
        "## What the columns mean",
        list_meanings(explain_map_columns(table, images)),
    )
