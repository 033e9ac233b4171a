"""Tables of text, and Markdown documents that also read well in a terminal."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_TAG = re.compile(r"(?<!\\)<(?=[A-Za-z/!?])")
"""Where HTML may begin, see CommonMark. In `p < 0.05` nothing does."""
_KEPT = re.compile(r"\\<(?=[A-Za-z/!?])")


class TextTable(NamedTuple):
    """A table whose cells are text."""

    columns: dict[str, str]
    """Heading and alignment of each column, `<` or `>`."""
    rows: list[list[str]]
    """A cell for each column."""


class Section(NamedTuple):
    """A heading with paragraphs and tables, for a document or for a page."""

    heading: str
    paragraphs: list[str]
    tables: dict[str, TextTable]
    """By caption; empty where there is nothing to show."""


def write_markdown(*blocks: str | TextTable | list[str]) -> str:
    """Write a document: its blocks, with a blank line between two.

    Args:
        blocks: a heading or a paragraph, a table, or the items of a list; an empty
            list is left out.
    """
    return "\n\n".join(_write_block(block) for block in blocks if block) + "\n"


def _write_block(block: str | TextTable | list[str]) -> str:
    if isinstance(block, str):
        return without_html(block)
    if isinstance(block, TextTable):
        return "\n".join(align(block))
    return "\n".join(f"- {without_html(item)}" for item in block)


def without_html(text: str) -> str:
    """Keep a name such as `<b>` from being read as HTML, by a backslash before it."""
    return _TAG.sub(r"\\<", text)


def write_section(section: Section) -> str:
    """Write a section as a Markdown document."""
    tables = [
        block
        for caption, table in section.tables.items()
        for block in (f"## {caption}", table)
    ]
    return write_markdown(f"# {section.heading}", *section.paragraphs, *tables)


def list_meanings(meanings: Mapping[str, str]) -> list[str]:
    """The items of a list that explains columns by name."""
    return [f"**{name}**: {meaning}" for name, meaning in meanings.items()]


def widen(
    left: dict[str, str],
    across: Sequence[str],
    cells: Iterable[tuple[tuple[str | int, ...], str, str]],
) -> TextTable:
    """Make a table with a row for each key and a column for each name.

    Args:
        left: heading and alignment of the columns that hold the keys.
        across: the names, in the order of their columns.
        cells: key, name and text; a cell that is not given stays empty.
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


def with_html(markdown: str) -> str:
    """Take back what `without_html` did, to write the text elsewhere."""
    return _KEPT.sub("<", markdown)


def _write_cell(text: str) -> str:
    return without_html(" ".join(text.split("\n")).replace("|", "\\|"))


def align(table: TextTable) -> list[str]:
    """The lines of a Markdown table, padded so that its columns line up."""
    heading, *rows = [
        [_write_cell(cell) for cell in row]
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
