"""Tabulate the effect of suppressing latents on segmentation."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.report.segmentation.suppression_links import find_pictures, link_to
from vitproto.report.segmentation.suppression_markdown import write_markdown
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    check_complete,
    check_dose,
    read_suppression,
)
from vitproto.report.segmentation.suppression_table import summarise


def tabulate_suppression(
    suppression: tuple[Path, ...],
    class_latents: tuple[Path, ...],
    changes: tuple[Path, ...],
    dose_chart: Path,
    class_chart: Path,
    pictures: tuple[Path, ...],
    table: Path,
    csv: Path,
    *,
    dose: float,
    expected: ExpectedSaes,
) -> None:
    """Write the effect of suppression on each class and on average, beside controls.

    Args:
        suppression: the CSV files of suppress_latents.py, one for each SAE.
        class_latents: the CSV files of their latents by class, in the same order.
        changes: the CSV files of what classes change to, in the same order.
        dose_chart: the dose–response chart of plot_suppression.py, to link to.
        class_chart: its chart of classes, to link to.
        pictures: the folders of show_suppression.py to link to, in any order.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs: the summary over classes.
        dose: the dose of the Markdown table, in multiples of the largest value.
        expected: the autoencoders and settings that these files must have.
    """
    found = read_suppression(suppression, class_latents, changes)
    check_complete(found, expected)
    check_dose(found, dose)
    summary = summarise(found)
    charts = {
        "dose and response": link_to(dose_chart, table),
        "classes": link_to(class_chart, table),
    }
    links = find_pictures(pictures, table, found.places.values())
    text = write_markdown(found, summary, dose, charts, links)
    with whole_file(csv) as partial:
        summary.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    with whole_file(table) as partial:
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(tabulate_suppression)
