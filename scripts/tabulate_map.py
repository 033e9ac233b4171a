"""Tabulate the mAP of all configurations."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.data.image_list import read_splits
from vitproto.launch.cli import run
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.map_markdown import write_map_table
from vitproto.report.traits.map_table import (
    COLUMNS,
    tabulate_configurations,
    write_map_csv,
)
from vitproto.report.traits.map_text import count_images
from vitproto.report.traits.winners import compare_methods


def tabulate_map(files: ApFiles, table: Path, csv: Path, *, expected: Expected) -> None:
    """Write the mAP of the chosen prototypes, with chance, and which method wins.

    Args:
        files: the files to read.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
        expected: what the AP files must hold.
    """
    rows = read_ap(files, expected)
    results = tabulate_configurations(rows)
    n_images = count_images(read_splits(files.splits), results)
    write_map_csv(results[COLUMNS], csv)
    write_text(write_map_table(results, n_images, compare_methods(rows)), table)


if __name__ == "__main__":
    run(tabulate_map)
