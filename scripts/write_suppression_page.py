"""Write the segmentation study as one page."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.report.segmentation.probe_table import (
    check_same_probe,
    read_baseline,
    read_probes,
)
from vitproto.report.segmentation.suppression_links import find_pictures
from vitproto.report.segmentation.suppression_page import Charts, Probes, render_page
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    check_complete,
    check_dose,
    read_suppression,
)


def write_suppression_page(
    suppression: tuple[Path, ...],
    class_latents: tuple[Path, ...],
    changes: tuple[Path, ...],
    probe_metrics: Path,
    baseline: Path,
    dose_chart: Path,
    class_chart: Path,
    pictures: tuple[Path, ...],
    out: Path,
    *,
    dataset: str,
    dose: float,
    expected: ExpectedSaes,
) -> None:
    """Write tables, charts and pictures of suppression as a page that works offline.

    Args:
        suppression: the CSV files of suppress_latents.py, one for each SAE.
        class_latents: the CSV files of their latents by class, in the same order.
        changes: the CSV files of what classes change to, in the same order.
        probe_metrics: the CSV file of all probes.
        baseline: the CSV file of the chosen probe, with a row for each class.
        dose_chart: the SVG file of doses of plot_suppression.py.
        class_chart: the SVG file of classes of plot_suppression.py.
        pictures: the folders of show_suppression.py to show, in any order.
        out: the HTML file to write.
        dataset: the name of the data set in the configuration.
        dose: the dose of the tables, in multiples of the largest value.
        expected: the autoencoders and settings that these files must have.
    """
    found = read_suppression(suppression, class_latents, changes)
    check_complete(found, expected)
    check_dose(found, dose)
    measured = Probes(read_probes(probe_metrics), read_baseline(baseline))
    check_same_probe(*measured)
    charts = [path.read_text(encoding="utf-8") for path in (dose_chart, class_chart)]
    links = find_pictures(pictures, out, found.places.values())
    page = render_page(dataset, found, dose, measured, Charts(*charts), links)
    with whole_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run(write_suppression_page)
