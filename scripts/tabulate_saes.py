"""Tabulate the quality of the autoencoders."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.report.saes.markdown import write_markdown
from vitproto.report.saes.metrics import read_metrics
from vitproto.report.saes.table import tabulate
from vitproto.report.shared.expected_runs import check_expected, runs_of


def tabulate_saes(
    sae_metrics: tuple[Path, ...],
    n_correlated: int,
    table: Path,
    csv: Path,
    *,
    runs: tuple[str, ...],
) -> None:
    """Write the quality of the autoencoders of each setting on held-out images.

    Args:
        sae_metrics: the CSV files of evaluate_saes.py, in any order.
        n_correlated: largest number of latents whose correlations it measured.
        table: the Markdown file to write, for readers.
        csv: the CSV file to write, for programs.
        runs: the runs that they must have, such as
            clip/layer3/topk:k64-sparsity8-seed0.
    """
    measured = read_metrics(sae_metrics)
    check_expected(runs_of(measured), runs, "the table of autoencoders")
    results = tabulate(measured)
    with whole_file(csv) as partial:
        results.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    with whole_file(table) as partial:
        text = write_markdown(results, measured, n_correlated)
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(tabulate_saes)
