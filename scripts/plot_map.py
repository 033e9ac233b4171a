"""Draw mAP against the number of training images."""

from pathlib import Path

from vitproto.cli import run
from vitproto.report.ap_table import read_ap
from vitproto.report.drawing import save_chart
from vitproto.report.map_chart import draw_chart
from vitproto.report.map_table import tabulate


def plot_map(ap: tuple[Path, ...], png: Path, svg: Path) -> None:
    """Draw how mAP grows with the images that prototypes are chosen on.

    Args:
        ap: the CSV files of per-trait AP, of one data set, in any order.
        png: the picture to write for slides and READMEs.
        svg: the picture to write for print and for the page.
    """
    table = tabulate(read_ap(list(ap)))
    chart = draw_chart(table)
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_map)
