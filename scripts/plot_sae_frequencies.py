"""Draw how often latents are active."""

from pathlib import Path

from vitproto.cli import run
from vitproto.report.drawing import save_chart
from vitproto.report.latent_frequencies import read_frequencies
from vitproto.report.sae_frequency_chart import draw_frequencies


def plot_sae_frequencies(latents: tuple[Path, ...], png: Path, svg: Path) -> None:
    """Draw how often latents are active on held-out images, and how many never are.

    Args:
        latents: the HDF5 files of evaluate_saes.py, in any order.
        png: the picture to write for slides and READMEs.
        svg: the picture to write for print.
    """
    chart = draw_frequencies(read_frequencies(latents))
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_sae_frequencies)
