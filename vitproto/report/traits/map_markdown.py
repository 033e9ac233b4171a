"""The mAP table as Markdown that also reads well in a terminal."""

import pandas as pd

from vitproto.report.shared.markdown import TextTable, align
from vitproto.report.traits.map_text import (
    explain_columns,
    format_map,
    write_chance_note,
    write_headline,
)
from vitproto.report.traits.winner_text import explain_winners, write_winner
from vitproto.report.traits.winners import Comparison

COLUMNS = {
    "Method": "<",
    "Encoder": "<",
    "Layer": ">",
    "Prototypes": ">",
    "Alive": ">",
    "LR": ">",
    "Sparsity": ">",
    "Train": ">",
    "mAP": "<",
    "5%": ">",
    "95%": ">",
    "Chance": ">",
    "Traits": ">",
    "Seeds": ">",
    "Unselected": ">",
}
"""Heading and alignment of each column."""

ONLY_WHERE_GIVEN = {"LR": "learning_rate", "Sparsity": "sparsity"}
"""Columns that are left out where no row has a value, and what they show."""


def show_table(table: pd.DataFrame) -> TextTable:
    """How is the table printed?

    Args:
        table: what `tabulate` gives.
    """
    hidden = {
        name for name, column in ONLY_WHERE_GIVEN.items() if table[column].isna().all()
    }
    columns = {name: side for name, side in COLUMNS.items() if name not in hidden}
    cells = [_format(row) for _, row in table.iterrows()]
    return TextTable(columns, [[row[name] for name in columns] for row in cells])


def _format(row: pd.Series) -> dict[str, str]:
    chosen = " ‡" if row["is_chosen"] and row["n_settings"] > 1 else ""
    n_alive = row["n_alive"]
    return {
        "Method": row["method"] + chosen,
        "Encoder": row["encoder"],
        "Layer": str(row["layer"]),
        "Prototypes": str(row["n_prototypes"]),
        "Alive": f"{n_alive:.0f}" if n_alive == int(n_alive) else f"{n_alive:.1f}",
        "LR": _number_or_nothing(row["learning_rate"]),
        "Sparsity": _number_or_nothing(row["sparsity"]),
        "Train": str(row["n_train"]),
        "mAP": format_map(row),
        "5%": f"{row['p5']:.3f}",
        "95%": f"{row['p95']:.3f}",
        "Chance": f"{row['chance']:.3f}",
        "Traits": str(row["n_traits"]),
        "Seeds": str(row["n_seeds"]),
        "Unselected": f"{row['n_unselected']:.1f}",
    }


def _number_or_nothing(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.12g}"


def write_markdown(
    table: pd.DataFrame, n_images: dict[str, int], comparisons: list[Comparison]
) -> str:
    """What does a reader see in `map_table.md`?

    Args:
        table: what `tabulate` gives.
        n_images: in the splits `train` and `test`.
        comparisons: what `compare_methods` gives.
    """
    meanings = explain_columns(table, n_images)
    winners = [f"- {write_winner(comparison)}" for comparison in comparisons]
    return "\n".join(
        [
            f"# How well do prototypes find traits? {table['dataset'].iloc[0]}",
            "",
            write_headline(table),
            "",
            *align(show_table(table)),
            "",
            write_chance_note(table),
            "",
            "## Who wins at an equal number of prototypes?",
            "",
            *([*winners, ""] if winners else []),
            explain_winners(comparisons),
            "",
            "## What the columns mean",
            "",
            *(f"- **{name}**: {meaning}" for name, meaning in meanings.items()),
            "",
        ]
    )
