"""Tables of text, and how they are written in Markdown that a terminal shows well."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class TextTable(NamedTuple):
    """A table as it is shown: every cell is written out."""

    columns: dict[str, str]
    """Heading and alignment of each column, `<` or `>`."""
    rows: list[list[str]]
    """A cell for each column."""


class Section(NamedTuple):
    """A heading, and what stands below it."""

    heading: str
    paragraphs: list[str]
    tables: dict[str, TextTable]
    """By caption; empty where there is nothing to show."""


def write_section(section: Section) -> str:
    """The section as a Markdown document of its own."""
    lines = [f"# {section.heading}", ""]
    for paragraph in section.paragraphs:
        lines += [paragraph, ""]
    for caption, table in section.tables.items():
        lines += [f"## {caption}", "", *align(table), ""]
    return "\n".join(lines)


def widen(
    left: dict[str, str],
    across: Sequence[str],
    cells: Iterable[tuple[tuple[str | int, ...], str, str]],
) -> TextTable:
    """A table with a row for each key and a column for each name.

    Args:
        left: heading and alignment of the columns that hold the keys.
        across: the names, in the order of their columns.
        cells: key, name and text. A cell that is not given stays empty.
    """
    rows: dict[tuple, dict[str, str]] = {}
    for key, name, text in cells:
        rows.setdefault(key, {})[name] = text
    columns = left | dict.fromkeys(across, "<")
    return TextTable(
        columns,
        [
            [*map(str, key), *(row.get(name, "") for name in across)]
            for key, row in rows.items()
        ],
    )


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
