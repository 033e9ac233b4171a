"""Draw how the autoencoders learnt."""

from pathlib import Path

from vitproto.cli import run
from vitproto.report.drawing import save_chart
from vitproto.report.sae_training import read_training
from vitproto.report.sae_training_chart import draw_curves


def plot_sae_training(
    training: tuple[Path, ...], families: tuple[str, ...], png: Path, svg: Path
) -> None:
    """Draw loss, error, active and dead latents against the patches seen.

    Args:
        training: the CSV file of each family, as training wrote it.
        families: what to call the families, in the order of `training`.
        png: the picture to write for slides and READMEs.
        svg: the picture to write for print.
    """
    if len(families) != len(set(families)) or len(families) != len(training):
        raise ValueError(
            f"{len(training)} logs of training and {len(set(families))} different "
            "names of families were given: give each log a name of its own"
        )
    logs = read_training(dict(zip(families, training, strict=True)))
    chart = draw_curves(logs)
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_sae_training)
