"""Draw mAP against the number of training images."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.shared.drawing import save_chart
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.map_chart import draw_chart
from vitproto.report.traits.map_table import tabulate_configurations


def plot_map(files: ApFiles, png: Path, svg: Path, *, expected: Expected) -> None:
    """Draw mAP against the number of images that prototypes are chosen on.

    Args:
        files: the files to read.
        png: the chart to write for slides and READMEs.
        svg: the chart to write for print and for the page.
        expected: what the AP files must hold.
    """
    table = tabulate_configurations(read_ap(files, expected))
    save_chart(draw_chart(table), png, svg)


if __name__ == "__main__":
    run(plot_map)
