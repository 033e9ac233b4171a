"""Draw mAP against the numbers of training images and of prototypes."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.traits.answer import Place
from vitproto.report.traits.map_table import read_map_csv


def plot_map(
    map_table: Path, png: Path, svg: Path, *, place: Place, looks: StudyMethods
) -> None:
    """Draw mAP against the numbers of training images and of prototypes.

    Args:
        map_table: The CSV file of tabulate_map.py.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print and for the page.
        place: The encoder and layer to draw.
        looks: The methods of the study, which decide what each looks like.
    """
    from vitproto.report.shared.drawing import save_chart
    from vitproto.report.traits.map_chart import draw_chart

    figure = draw_chart(read_map_csv(map_table), place, looks.styles())
    save_chart(figure, png, svg)


if __name__ == "__main__":
    run(plot_map)
