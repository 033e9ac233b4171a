"""Write the result as one page."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.data.image_list import read_splits
from vitproto.launch.cli import run
from vitproto.report.map_page import Autoencoders, Charts, render_page
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.shared.expected_runs import check_expected, runs_of
from vitproto.report.traits.ap_table import Expected, read_ap
from vitproto.report.traits.features_links import find_pages


def write_map_page(
    ap: tuple[Path, ...],
    splits: Path,
    traits: Path,
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
        ap: the CSV files of per-trait AP, of one data set, in any order.
        splits: the CSV file with the splits of that data set's images.
        traits: the NPZ file with the traits of each image.
        map_chart: the SVG file of plot_map.py.
        layer_chart: the SVG file of compare_layers.py.
        encoder_chart: the SVG file of compare_encoders.py.
        group_chart: the SVG file of compare_groups.py.
        sae_metrics: the CSV files of evaluate_saes.py, in any order; none if the study
            has no autoencoders.
        sae_front: the SVG file of plot_sae_front.py; none in the same case.
        features: the folders of show_features.py to link to, in any order.
        out: the HTML file to write.
        n_correlated: largest number of latents whose correlations evaluate_saes.py
            measured.
        sae_runs: the runs of the autoencoders, such as clip/layer3/topk:k64-seed0.
        expected: the runs, subsets and traits that the AP files must have.
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
    page = render_page(
        read_ap(ap, splits, traits, expected),
        read_splits(splits),
        Charts(*drawings),
        saes,
        find_pages(features, out),
    )
    with whole_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run(write_map_page)
