"""Draw the training curves of the autoencoders."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.saes.training import read_training, trained_runs
from vitproto.report.saes.training_chart import draw_curves
from vitproto.report.shared.drawing import save_chart
from vitproto.report.shared.runs import check_expected


def plot_sae_training(
    training: tuple[Path, ...], png: Path, svg: Path, *, runs: tuple[str, ...]
) -> None:
    """Draw loss, error, active and dead latents against the patches seen.

    Args:
        training: the CSV files of fit_sae.py, a file for each family, in any order.
        png: the chart to write for slides and READMEs.
        svg: the chart to write for print.
        runs: the trained runs in these files, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    log = read_training(training)
    check_expected(trained_runs(log), runs, "the log of trainings")
    save_chart(draw_curves(log), png, svg)


if __name__ == "__main__":
    run(plot_sae_training)
