"""Draw mAP against the number of training images."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.shared.drawing import save_chart
from vitproto.report.traits.ap_table import Expected, read_ap
from vitproto.report.traits.map_chart import draw_chart
from vitproto.report.traits.map_table import tabulate


def plot_map(
    ap: tuple[Path, ...],
    splits: Path,
    traits: Path,
    png: Path,
    svg: Path,
    *,
    expected: Expected,
) -> None:
    """Draw mAP against the number of images on which prototypes are chosen.

    Args:
        ap: the CSV files of per-trait AP, of one data set, in any order.
        splits: the CSV file with the splits of that data set's images.
        traits: the NPZ file with the traits of each image.
        png: the PNG file to write, for slides and READMEs.
        svg: the SVG file to write, for print and the page.
        expected: the runs, subsets and traits that these files must have.
    """
    table = tabulate(read_ap(ap, splits, traits, expected))
    chart = draw_chart(table)
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_map)
