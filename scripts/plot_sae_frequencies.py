"""Draw how often latents are active."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.saes.frequencies import read_frequencies
from vitproto.report.shared.runs import check_expected


def plot_sae_frequencies(
    latents: tuple[Path, ...], png: Path, svg: Path, *, sae_families: tuple[str, ...]
) -> None:
    """Draw how often latents are active on held-out images, and how many never are.

    Args:
        latents: The HDF5 files of evaluate_saes.py, in any order.
        png: The chart to write for slides and READMEs.
        svg: The chart to write for print.
        sae_families: The families in these files with their runs, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    from vitproto.report.saes.frequency_chart import draw_frequencies
    from vitproto.report.shared.drawing import save_chart

    autoencoders = read_frequencies(latents)
    measured = [(sae.family, sae.run) for sae in autoencoders]
    check_expected(measured, sae_families, "the list of latents")
    save_chart(draw_frequencies(autoencoders), png, svg)


if __name__ == "__main__":
    run(plot_sae_frequencies)
