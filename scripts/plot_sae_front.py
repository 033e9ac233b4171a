"""Draw the reconstruction error of autoencoders against their sparsity."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.runs import check_expected, runs_of


def plot_sae_front(
    sae_metrics: tuple[Path, ...],
    png: Path,
    svg: Path,
    *,
    sae_families: tuple[str, ...],
    looks: StudyMethods,
) -> None:
    """Draw the NMSE of autoencoders against their number of active latents.

    Args:
        sae_metrics: The CSV files of evaluate_saes.py, in any order.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print.
        sae_families: The families in these files with their runs, such as
            clip/layer3/topk:k64-sparsity8-seed0.
        looks: The methods of the study, which decide what each looks like.
    """
    from vitproto.report.saes.front_chart import draw_front
    from vitproto.report.shared.drawing import save_chart

    measured = read_metrics(sae_metrics)
    check_expected(runs_of(measured), sae_families, "the table of autoencoders")
    save_chart(draw_front(measured, looks.styles()), png, svg)


if __name__ == "__main__":
    run(plot_sae_front)
