"""Tabulate the time and memory of the jobs of a study."""

from pathlib import Path

from vitproto.core.files import whole_file
from vitproto.launch.cli import run
from vitproto.planning import cost_table


def tabulate_cost(jobs: Path, table: Path, csv: Path) -> None:
    """Write the time and memory of each stage's jobs.

    Args:
        jobs: The CSV file that lists the jobs: the `stage` of each, and its `record`,
            the benchmark file; missing files are counted. The log beside it has the
            GPU memory.
        table: The Markdown file to write, for readers.
        csv: The CSV file to write, for programs.
    """
    results = cost_table.tabulate(cost_table.read_records(jobs))
    with whole_file(csv) as partial:
        results.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    with whole_file(table) as partial:
        partial.write_text(cost_table.write_cost_table(results), encoding="utf-8")


if __name__ == "__main__":
    run(tabulate_cost)
