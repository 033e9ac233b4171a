"""Draw mAP against the number of training images, beside chance."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.map_table import read_map_csv


def plot_map(map_table: Path, png: Path, svg: Path, *, looks: StudyMethods) -> None:
    """Draw mAP against the number of images that prototypes are chosen on.

    Args:
        map_table: The CSV file of tabulate_map.py.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print and for the page.
        looks: The methods of the study, which decide what each looks like.
    """
    from vitproto.report.shared.drawing import save_chart
    from vitproto.report.traits.map_chart import draw_chart

    save_chart(draw_chart(read_map_csv(map_table), looks.styles()), png, svg)


if __name__ == "__main__":
    run(plot_map)
