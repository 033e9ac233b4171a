"""Draw how often latents are active."""

from pathlib import Path

from vitproto.launch.cli import run
from vitproto.report.saes.frequencies import read_frequencies
from vitproto.report.saes.frequency_chart import draw_frequencies
from vitproto.report.shared.drawing import save_chart
from vitproto.report.shared.expected_runs import check_expected
from vitproto.study.family import Family


def plot_sae_frequencies(
    latents: tuple[Path, ...], png: Path, svg: Path, *, runs: tuple[str, ...]
) -> None:
    """Draw how often latents are active on held-out images, and how many never are.

    Args:
        latents: the HDF5 files of evaluate_saes.py, in any order.
        png: the PNG file to write, for slides and READMEs.
        svg: the SVG file to write, for print.
        runs: the runs that they must have, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    found = read_frequencies(latents)
    measured = [(Family(one.encoder, one.layer, one.method), one.run) for one in found]
    check_expected(measured, runs, "the list of latents")
    chart = draw_frequencies(found)
    save_chart(chart, png)
    save_chart(chart, svg)


if __name__ == "__main__":
    run(plot_sae_frequencies)
