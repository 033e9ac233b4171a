"""Draw the effects of suppressing latents."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.segmentation.suppression_chart import draw_classes, draw_doses
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    SuppressionFiles,
    read_complete,
)
from vitproto.report.segmentation.suppression_table import summarise
from vitproto.report.shared.drawing import save_chart


def plot_suppression(
    files: SuppressionFiles,
    dose_png: Path,
    dose_svg: Path,
    class_png: Path,
    class_svg: Path,
    *,
    dose: float,
    expected: ExpectedSaes,
) -> None:
    """Draw what the class and the others lose, by edit and dose, and class by class.

    Args:
        files: the files to read.
        dose_png: the chart of doses to write for slides and READMEs.
        dose_svg: the same for print.
        class_png: the chart of classes to write for slides and READMEs.
        class_svg: the same for print.
        dose: the multiple of the largest value that the chart of classes shows.
        expected: what the files must hold.
    """
    suppression = read_complete(files, expected, dose)
    save_chart(draw_doses(suppression, summarise(suppression)), dose_png, dose_svg)
    save_chart(draw_classes(suppression, dose), class_png, class_svg)


if __name__ == "__main__":
    run(plot_suppression)
