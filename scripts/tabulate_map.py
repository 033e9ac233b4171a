"""Tabulate the mAP of all configurations."""

from pathlib import Path

from vitproto.cli import run
from vitproto.data.image_list import read_image_list
from vitproto.files import whole_file
from vitproto.report import map_table
from vitproto.report.ap_table import read_ap
from vitproto.report.map_markdown import write_markdown
from vitproto.report.map_text import count_images


def tabulate_map(ap: tuple[Path, ...], images: Path, table: Path, csv: Path) -> None:
    """Write how well the chosen prototypes find the traits, beside chance.

    Args:
        ap: the CSV files of per-trait AP, of one data set, in any order.
        images: the image list of that data set.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
    """
    results = map_table.tabulate(read_ap(list(ap)))
    n_images = count_images(read_image_list(images), results)
    with whole_file(csv) as partial:
        shown = map_table.format_numbers(results[map_table.COLUMNS])
        shown.to_csv(partial, index=False, lineterminator="\n")
    with whole_file(table) as partial:
        partial.write_text(write_markdown(results, n_images), encoding="utf-8")


if __name__ == "__main__":
    run(tabulate_map)
