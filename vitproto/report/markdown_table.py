"""Markdown tables that also read well in a terminal."""

from collections.abc import Mapping, Sequence


def align(rows: Sequence[Sequence[str]], columns: Mapping[str, str]) -> list[str]:
    """The lines of a table whose columns stand one below the other.

    Args:
        rows: the cells of each row.
        columns: the heading of each column and how its cells are aligned, `<` or `>`.
    """
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [
        max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)
    ]
    rule = [
        "-" * width if side == "<" else "-" * (width - 1) + ":"
        for width, side in zip(widths, columns.values(), strict=True)
    ]
    padded = [
        [
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, columns.values(), widths, strict=True)
        ]
        for row in [list(columns), rule, *rows]
    ]
    return [f"| {' | '.join(row)} |" for row in padded]
