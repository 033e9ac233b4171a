"""Write the trait study as one page."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.data.image_list import read_splits
from vitproto.launch.cli import run
from vitproto.report.map_page import Autoencoders, Charts, render_map_page
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.shared.runs import check_expected, runs_of
from vitproto.report.traits.ap_table import ApFiles, Expected, read_ap
from vitproto.report.traits.features_links import find_pages


def write_map_page(
    files: ApFiles,
    map_chart: Path,
    layer_chart: Path,
    encoder_chart: Path,
    group_chart: Path,
    sae_metrics: tuple[Path, ...],
    sae_front: tuple[Path, ...],
    features: tuple[Path, ...],
    out: Path,
    *,
    n_correlated: int,
    sae_runs: tuple[str, ...],
    expected: Expected,
) -> None:
    """Write charts, tables, autoencoders and traits as a page that works offline.

    Args:
        files: the files to read.
        map_chart: the SVG file of plot_map.py.
        layer_chart: the SVG file of compare_layers.py.
        encoder_chart: the SVG file of compare_encoders.py.
        group_chart: the SVG file of compare_groups.py.
        sae_metrics: the CSV files of evaluate_saes.py, in any order; none if the study
            has no autoencoders.
        sae_front: the SVG file of plot_sae_front.py; none in the same case.
        features: the folders of show_features.py to link to, in any order.
        out: the HTML file to write.
        n_correlated: the number of latents whose correlations evaluate_saes.py
            measured, at most.
        sae_runs: the runs of the autoencoders, such as clip/layer3/topk:k64-seed0.
        expected: what the AP files must hold.
    """
    if len(sae_front) != (1 if sae_metrics else 0):
        raise ValueError(
            f"{len(sae_metrics)} files of metrics and {len(sae_front)} charts of "
            "autoencoders were named: give all metrics and their chart, or neither"
        )
    drawings = [
        path.read_text(encoding="utf-8")
        for path in (map_chart, layer_chart, encoder_chart, group_chart)
    ]
    saes = None
    if sae_metrics:
        front = sae_front[0].read_text(encoding="utf-8")
        measured = read_metrics(sae_metrics)
        check_expected(runs_of(measured), sae_runs, "the table of autoencoders")
        saes = Autoencoders(measured, n_correlated, front)
    page = render_map_page(
        read_ap(files, expected),
        read_splits(files.splits),
        Charts(*drawings),
        saes,
        find_pages(features, out),
    )
    write_text(page, out)


if __name__ == "__main__":
    run(write_map_page)
