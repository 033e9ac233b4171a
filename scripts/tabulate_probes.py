"""Tabulate how well linear probes segment."""

from pathlib import Path

from vitproto.core.files import write_text
from vitproto.launch.cli import run
from vitproto.report.segmentation.probe_markdown import write_probe_table
from vitproto.report.segmentation.probe_table import (
    check_same_probe,
    read_baseline,
    read_probes,
)
from vitproto.report.shared.typed_csv import write_csv


def tabulate_probes(
    probe_metrics: Path, baseline: Path, table: Path, csv: Path
) -> None:
    """Write how well the probes of the sweep segment, and the best one by class.

    Args:
        probe_metrics: The CSV file of all probes.
        baseline: The CSV file of the chosen probe, with a row for each class.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs: the sweep, sorted.
    """
    sweep, classes = read_probes(probe_metrics), read_baseline(baseline)
    check_same_probe(sweep, classes)
    write_csv(sweep, csv)
    write_text(write_probe_table(sweep, classes), table)


if __name__ == "__main__":
    run(tabulate_probes)
