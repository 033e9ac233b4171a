"""The mAP table as Markdown that also reads well in a terminal."""

import pandas as pd

from vitproto.report.map_text import explain_columns, write_chance_note, write_headline

COLUMNS = {
    "Method": "<",
    "Encoder": "<",
    "Layer": ">",
    "Prototypes": ">",
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


def format_cells(row: pd.Series) -> list[str]:
    """How is a row of the table printed? A cell for each of `COLUMNS`."""
    spread = "" if pd.isna(row["map_sd"]) else f" ± {row['map_sd']:.3f}"
    mark = "" if row["above_chance"] else " †"
    return [
        row["method"],
        row["encoder"],
        str(row["layer"]),
        str(row["n_prototypes"]),
        str(row["n_train"]),
        f"{row['map']:.3f}{spread}{mark}",
        f"{row['p5']:.3f}",
        f"{row['p95']:.3f}",
        f"{row['chance']:.3f}",
        str(row["n_traits"]),
        str(row["n_seeds"]),
        f"{row['n_unselected']:.1f}",
    ]


def write_markdown(table: pd.DataFrame, n_images: dict[str, int]) -> str:
    """What does a reader see in `map_table.md`?

    Args:
        table: what `tabulate` gives.
        n_images: in the splits `train` and `test`.
    """
    rows = [format_cells(row) for _, row in table.iterrows()]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    meanings = explain_columns(table, n_images)
    return "\n".join(
        [
            f"# How well do prototypes find traits? {table['dataset'].iloc[0]}",
            "",
            write_headline(table),
            "",
            *_align(rows),
            "",
            write_chance_note(table),
            "",
            *(f"- **{name}**: {meaning}" for name, meaning in meanings.items()),
            "",
        ]
    )


def _align(rows: list[list[str]]) -> list[str]:
    widths = [
        max(len(cell) for cell in column) for column in zip(COLUMNS, *rows, strict=True)
    ]
    rule = [
        "-" * width if side == "<" else "-" * (width - 1) + ":"
        for width, side in zip(widths, COLUMNS.values(), strict=True)
    ]
    padded = [
        [
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, COLUMNS.values(), widths, strict=True)
        ]
        for row in [list(COLUMNS), rule, *rows]
    ]
    return [f"| {' | '.join(row)} |" for row in padded]
