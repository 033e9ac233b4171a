"""Draw the effects of suppressing latents."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    SuppressionFiles,
    read_complete,
)


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
    """Draw what the class and the others lose, by edit length, and class by class.

    Args:
        files: The files to read.
        dose_png: The chart of curves to write for slides and READMEs.
        dose_svg: The same for print.
        class_png: The chart of classes to write for slides and READMEs.
        class_svg: The same for print.
        dose: The multiple of the largest value that the chart of classes shows.
        expected: What the files must hold.
    """
    from vitproto.report.segmentation.suppression_chart import draw_classes, draw_curves
    from vitproto.report.shared.drawing import save_chart

    suppression = read_complete(files, expected, dose)
    save_chart(draw_curves(suppression), dose_png, dose_svg)
    save_chart(draw_classes(suppression, dose), class_png, class_svg)


if __name__ == "__main__":
    run(plot_suppression)
