"""Tabulate the effects of suppressing latents."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.segmentation.suppression_links import find_pictures
from vitproto.report.segmentation.suppression_markdown import write_suppression_table
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    SuppressionFiles,
    read_complete,
)
from vitproto.report.shared.links import link_to


def tabulate_suppression(
    files: SuppressionFiles,
    dose_chart: Path,
    class_chart: Path,
    pictures: tuple[Path, ...],
    table: Path,
    *,
    dose: float,
    expected: ExpectedSaes,
) -> None:
    """Write what suppression does to each class and on average, against controls.

    Args:
        files: The files to read.
        dose_chart: The chart of doses of plot_suppression.py, to link to.
        class_chart: Its chart of classes, to link to.
        pictures: The folders of show_suppression.py to link to, in any order.
        table: The Markdown file to write, for readers.
        dose: The multiple of the largest value that tables of classes show.
        expected: What the files must hold.
    """
    suppression = read_complete(files, expected, dose)
    charts = {
        "losses by edit length": link_to(dose_chart, table),
        "classes": link_to(class_chart, table),
    }
    links = find_pictures(pictures, table, suppression.places.values())
    text = write_suppression_table(suppression, dose, charts, links)
    write_text(text, table)


if __name__ == "__main__":
    run(tabulate_suppression)
