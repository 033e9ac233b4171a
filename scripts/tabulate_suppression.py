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
from vitproto.report.segmentation.suppression_table import summarise
from vitproto.report.shared.links import link_to
from vitproto.report.shared.typed_csv import write_csv


def tabulate_suppression(
    files: SuppressionFiles,
    dose_chart: Path,
    class_chart: Path,
    pictures: tuple[Path, ...],
    table: Path,
    csv: Path,
    *,
    dose: float,
    expected: ExpectedSaes,
) -> None:
    """Write what suppression does to each class and on average, against controls.

    Args:
        files: the files to read.
        dose_chart: the chart of doses of plot_suppression.py, to link to.
        class_chart: its chart of classes, to link to.
        pictures: the folders of show_suppression.py to link to, in any order.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs: the summary over classes.
        dose: the multiple of the largest value that the Markdown shows.
        expected: what the files must hold.
    """
    suppression = read_complete(files, expected, dose)
    summary = summarise(suppression)
    charts = {
        "dose and response": link_to(dose_chart, table),
        "classes": link_to(class_chart, table),
    }
    links = find_pictures(pictures, table, suppression.places.values())
    write_csv(summary, csv)
    text = write_suppression_table(suppression, summary, dose, charts, links)
    write_text(text, table)


if __name__ == "__main__":
    run(tabulate_suppression)
