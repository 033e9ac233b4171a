"""Write the result as one page."""

from pathlib import Path

from vitproto.cli import run
from vitproto.data.image_list import read_image_list
from vitproto.files import whole_file
from vitproto.report.ap_table import read_ap
from vitproto.report.map_page import Charts, render_page


def write_map_page(
    ap: tuple[Path, ...],
    images: Path,
    chart: Path,
    layers: Path,
    encoders: Path,
    groups: Path,
    out: Path,
) -> None:
    """Write headline, charts, tables and traits as a page that opens offline.

    Args:
        ap: the CSV files of per-trait AP, of one data set, in any order.
        images: the image list of that data set.
        chart: the SVG file of plot_map.py.
        layers: the SVG file of compare_layers.py.
        encoders: the SVG file of compare_encoders.py.
        groups: the SVG file of compare_groups.py.
        out: the HTML file to write.
    """
    drawings = [
        path.read_text(encoding="utf-8") for path in (chart, layers, encoders, groups)
    ]
    page = render_page(read_ap(list(ap)), read_image_list(images), Charts(*drawings))
    with whole_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run(write_map_page)
