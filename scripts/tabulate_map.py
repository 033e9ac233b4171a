"""Tabulate the mAP of all configurations."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.data.image_list import read_splits
from vitproto.launch.cli import run
from vitproto.report.traits import map_table
from vitproto.report.traits.ap_table import Expected, read_ap
from vitproto.report.traits.map_markdown import write_markdown
from vitproto.report.traits.map_text import count_images
from vitproto.report.traits.winners import compare_methods


def tabulate_map(
    ap: tuple[Path, ...],
    splits: Path,
    traits: Path,
    table: Path,
    csv: Path,
    *,
    expected: Expected,
) -> None:
    """Write how well the chosen prototypes find the traits, and which method wins.

    Args:
        ap: the CSV files of per-trait AP, of one data set, in any order.
        splits: the CSV file with the splits of that data set's images.
        traits: the NPZ file with the traits of each image.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
        expected: the runs, subsets and traits that these files must have.
    """
    rows = read_ap(ap, splits, traits, expected)
    results = map_table.tabulate(rows)
    n_images = count_images(read_splits(splits), results)
    map_table.write_csv(results[map_table.COLUMNS], csv)
    with whole_file(table) as partial:
        text = write_markdown(results, n_images, compare_methods(rows))
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(tabulate_map)
