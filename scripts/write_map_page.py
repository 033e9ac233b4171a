"""Write the trait study as one page."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.pages.provenance import read_provenance
from vitproto.report.map_page import (
    Autoencoders,
    ChartFiles,
    ResultFiles,
    render_map_page,
)
from vitproto.report.saes.imports import read_imports
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.shared.method_styles import StudyMethods
from vitproto.report.shared.runs import check_expected, runs_of
from vitproto.report.traits.answer import Place
from vitproto.report.traits.ap_table import ApFiles, Expected
from vitproto.report.traits.features_links import find_pages
from vitproto.report.traits.trait_links import find_trait_pages


def write_map_page(
    files: ApFiles,
    tables: ResultFiles,
    charts: ChartFiles,
    sae_metrics: tuple[Path, ...],
    sae_front: tuple[Path, ...],
    import_check: tuple[Path, ...],
    features: tuple[Path, ...],
    trait_pages: Path,
    out: Path,
    *,
    n_correlated: int,
    sae_families: tuple[str, ...],
    place: Place,
    looks: StudyMethods,
    expected: Expected,
) -> None:
    """Write charts, tables, autoencoders and traits as a page that works offline.

    Args:
        files: The files to read.
        tables: The tables to show.
        charts: The charts to show.
        sae_metrics: The CSV files of evaluate_saes.py, in any order; may be none.
        sae_front: The SVG file of plot_sae_front.py; none if there are no metrics.
        import_check: The CSV files of import_sae.py, in any order; may be none.
        features: The folders of show_features.py to link to, in any order.
        trait_pages: The folder of show_traits.py to link to.
        out: The HTML file to write.
        n_correlated: Most latents whose correlations evaluate_saes.py measured.
        place: The encoder and layer that the answer is about.
        sae_families: The families of autoencoders with their runs, such as
            clip/layer3/topk:k64-sparsity8-seed0.
        looks: The methods of the study.
        expected: What the AP files must hold.
    """
    if len(sae_front) != (1 if sae_metrics else 0):
        raise ValueError(
            f"{len(sae_metrics)} files of metrics and {len(sae_front)} charts of "
            "autoencoders were named: give all metrics and their chart, or neither"
        )
    saes = None
    if sae_metrics:
        front = sae_front[0].read_text(encoding="utf-8")
        measured = read_metrics(sae_metrics)
        check_expected(runs_of(measured), sae_families, "the table of autoencoders")
        saes = Autoencoders(measured, n_correlated, front)
    results = tables.read(files, expected)
    imports = read_imports(import_check) if import_check else None
    named = {"splits": files.splits, "labels": files.traits, "mAP": tables.map_table}
    links = find_pages(features, out), find_trait_pages(trait_pages, out)
    shown = (results, place, charts.read(), saes, imports, *links, looks)
    write_text(render_map_page(*shown, read_provenance(named)), out)


if __name__ == "__main__":
    run(write_map_page)
