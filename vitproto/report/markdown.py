"""Tables of text, and how they are written in Markdown that a terminal shows well."""

from typing import NamedTuple


class TextTable(NamedTuple):
    """A table as it is shown: every cell is written out."""

    columns: dict[str, str]
    """Heading and alignment of each column, `<` or `>`."""
    rows: list[list[str]]
    """A cell for each column."""


def align(table: TextTable) -> list[str]:
    """The lines of a Markdown table whose columns stand one below the other."""
    heading, *rows = [
        [cell.replace("|", "\\|") for cell in row]
        for row in [list(table.columns), *table.rows]
    ]
    sides = table.columns.values()
    widths = [
        max(3, *(len(cell) for cell in column))
        for column in zip(heading, *rows, strict=True)
    ]
    rule = [
        "-" * width if side == "<" else "-" * (width - 1) + ":"
        for width, side in zip(widths, sides, strict=True)
    ]
    padded = [
        [
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, sides, widths, strict=True)
        ]
        for row in [heading, rule, *rows]
    ]
    return [f"| {' | '.join(row)} |" for row in padded]
