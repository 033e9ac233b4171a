"""Draw what autoencoders leave unexplained against how sparse they are."""

from pathlib import Path

from vitproto.cli import run
from vitproto.report.drawing import save_chart
from vitproto.report.sae_front_chart import draw_front
from vitproto.report.sae_metrics import read_metrics


def plot_sae_front(metrics: tuple[Path, ...], png: Path, svg: Path) -> None:
    """Draw what autoencoders leave unexplained against how sparse they are.

    Args:
        metrics: the CSV files of evaluate_saes.py, in any order.
        png: the picture to write for slides and READMEs.
        svg: the picture to write for print.
    """
    chart = draw_front(read_metrics(metrics))
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_sae_front)
