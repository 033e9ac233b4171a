"""The mAP table as Markdown, with who wins and what its columns mean."""

import pandas as pd

from vitproto.report.shared.markdown import TextTable, list_meanings, write_markdown
from vitproto.report.traits.map_text import (
    explain_map_columns,
    format_map,
    write_best_map,
    write_chance_note,
)
from vitproto.report.traits.winner_text import explain_winners, write_winner
from vitproto.report.traits.winners import Comparison

HEADING = "How well do prototypes find traits?"

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
"""Columns that are left out if no row has a value, and what they show."""


def show_maps(table: pd.DataFrame) -> TextTable:
    """Format the table for readers.

    Args:
        table: the rows of `tabulate_configurations`.
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


def write_map_table(
    table: pd.DataFrame, n_images: dict[str, int], comparisons: list[Comparison]
) -> str:
    """Write the text of `map_table.md`.

    Args:
        table: the rows of `tabulate_configurations`.
        n_images: the number of images in the splits `train` and `test`.
        comparisons: the comparisons of `compare_methods`.
    """
    return write_markdown(
        f"# {HEADING} {table['dataset'].iloc[0]}",
        write_best_map(table),
        show_maps(table),
        write_chance_note(table),
        "## Who wins at an equal number of prototypes?",
        [write_winner(comparison) for comparison in comparisons],
        explain_winners(comparisons),
        "## What the columns mean",
        list_meanings(explain_map_columns(table, n_images)),
    )
