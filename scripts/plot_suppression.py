"""Draw the effect of suppressing latents on segmentation."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.segmentation.suppression_chart import draw_classes, draw_doses
from vitproto.report.segmentation.suppression_rows import (
    ExpectedSaes,
    check_complete,
    check_dose,
    read_suppression,
)
from vitproto.report.segmentation.suppression_table import summarise
from vitproto.report.shared.drawing import save_chart


def plot_suppression(
    suppression: tuple[Path, ...],
    class_latents: tuple[Path, ...],
    changes: tuple[Path, ...],
    dose_png: Path,
    dose_svg: Path,
    class_png: Path,
    class_svg: Path,
    *,
    dose: float,
    expected: ExpectedSaes,
) -> None:
    """Draw the losses of the class and of others, by edit and dose, and by class.

    Args:
        suppression: the CSV files of suppress_latents.py, one for each SAE.
        class_latents: the CSV files of their latents by class, in the same order.
        changes: the CSV files of what classes change to, in the same order.
        dose_png: the chart of doses to write for slides and READMEs.
        dose_svg: the same for print.
        class_png: the chart of classes to write for slides and READMEs.
        class_svg: the same for print.
        dose: the dose of the chart of classes, in multiples of the largest value.
        expected: the autoencoders and settings that these files must have.
    """
    found = read_suppression(suppression, class_latents, changes)
    check_complete(found, expected)
    check_dose(found, dose)
    doses = draw_doses(found, summarise(found))
    save_chart(doses, dose_png)
    save_chart(doses, dose_svg)
    classes = draw_classes(found, dose)
    save_chart(classes, class_png)
    save_chart(classes, class_svg)


if __name__ == "__main__":
    run(plot_suppression)
