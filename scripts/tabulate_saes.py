"""Tabulate measures of the autoencoders."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.saes.markdown import write_sae_table
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.saes.table import tabulate_settings
from vitproto.report.shared.runs import check_expected, runs_of
from vitproto.report.shared.typed_csv import write_csv


def tabulate_saes(
    sae_metrics: tuple[Path, ...],
    n_correlated: int,
    table: Path,
    csv: Path,
    *,
    sae_families: tuple[str, ...],
) -> None:
    """Write measures of the autoencoders of each setting on held-out images.

    Args:
        sae_metrics: The CSV files of evaluate_saes.py, in any order.
        n_correlated: The number of latents whose correlations it measured, at most.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs.
        sae_families: The families in these files with their runs, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    measured = read_metrics(sae_metrics)
    check_expected(runs_of(measured), sae_families, "the table of autoencoders")
    results = tabulate_settings(measured)
    write_csv(results, csv)
    write_text(write_sae_table(results, measured, n_correlated), table)


if __name__ == "__main__":
    run(tabulate_saes)
