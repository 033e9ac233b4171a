"""Draw the training curves of the autoencoders."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.saes.training import read_training, trained_runs
from vitproto.report.shared.runs import check_expected


def plot_sae_training(
    training: tuple[Path, ...], png: Path, svg: Path, *, sae_families: tuple[str, ...]
) -> None:
    """Draw loss, error, active and dead latents against the patches seen.

    Args:
        training: The CSV files of fit_sae.py, a file for each family, in any order.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print.
        sae_families: The families in these files with their trained runs, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    from vitproto.report.saes.training_chart import draw_curves
    from vitproto.report.shared.drawing import save_chart

    log = read_training(training)
    check_expected(trained_runs(log), sae_families, "the log of trainings")
    save_chart(draw_curves(log), png, svg)


if __name__ == "__main__":
    run(plot_sae_training)
