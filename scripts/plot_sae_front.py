"""Draw the unexplained variance of autoencoders against their sparsity."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.saes.front_chart import draw_front
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.shared.drawing import save_chart
from vitproto.report.shared.expected_runs import check_expected, runs_of


def plot_sae_front(
    sae_metrics: tuple[Path, ...], png: Path, svg: Path, *, runs: tuple[str, ...]
) -> None:
    """Draw the unexplained variance of autoencoders against their sparsity.

    Args:
        sae_metrics: the CSV files of evaluate_saes.py, in any order.
        png: the PNG file to write, for slides and READMEs.
        svg: the SVG file to write, for print.
        runs: the runs that they must have, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    measured = read_metrics(sae_metrics)
    check_expected(runs_of(measured), runs, "the table of autoencoders")
    chart = draw_front(measured)
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_sae_front)
