"""Write the segmentation study as one page."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.segmentation.probe_table import (
    check_same_probe,
    read_baseline,
    read_probes,
)
from vitproto.report.segmentation.suppression_links import find_pictures
from vitproto.report.segmentation.suppression_page import (
    Charts,
    Probes,
    render_suppression_page,
)
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    SuppressionFiles,
    read_complete,
)


def write_suppression_page(
    files: SuppressionFiles,
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
        files: The files to read.
        probe_metrics: The CSV file of all probes.
        baseline: The CSV file of the chosen probe, with a row for each class.
        dose_chart: The SVG file of curves of plot_suppression.py.
        class_chart: The SVG file of classes of plot_suppression.py.
        pictures: The folders of show_suppression.py to show, in any order.
        out: The HTML file to write.
        dataset: The name of the data set in the config.
        dose: The multiple of the largest value that tables of classes show.
        expected: What the files must hold.
    """
    suppression = read_complete(files, expected, dose)
    measured = Probes(read_probes(probe_metrics), read_baseline(baseline))
    check_same_probe(*measured)
    charts = [path.read_text(encoding="utf-8") for path in (dose_chart, class_chart)]
    links = find_pictures(pictures, out, suppression.places.values())
    page = render_suppression_page(
        dataset, suppression, dose, measured, Charts(*charts), links
    )
    write_text(page, out)


if __name__ == "__main__":
    run(write_suppression_page)
